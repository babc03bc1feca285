"""With what, where and when a result was made."""

from __future__ import annotations

import platform
import socket
from datetime import datetime, timezone
from importlib.metadata import version


def made() -> dict[str, str]:
    """Versions, host and date, for a summary."""
    import bankwise

    return {
        "bankwise": bankwise.__version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "host": socket.gethostname(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }

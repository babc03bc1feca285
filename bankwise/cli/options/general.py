"""What most commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Network = Annotated[
    str,
    Option(
        help="Network: [networks] (NAME@0.5: half the channels; NAME@1,0.5,0.5: stage by stage), torchvision:NAME, or "
        "your own package.module:callable."
    ),
]
Json = Annotated[bool, Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Out = Annotated[Path, Option(help="Folder of the run. Run the same command on it again to resume.")]
AllowCode = Annotated[
    bool,
    Option(
        "--allow-code",
        help="Import and run code of your own (module:Name) that a file or a run's folder names. What the command line "
        "names itself is imported anyway.",
    ),
]
Run = Annotated[Path, Argument(help="Folder of a finished run.")]

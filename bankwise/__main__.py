"""`python -m bankwise` is the command line."""

from __future__ import annotations

import sys

from bankwise.command_line import main

sys.exit(main())

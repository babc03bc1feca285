"""Runs a module of nni.nas in a trial's process: python -m bankwise.strategies.engines.nni.nas.trial -m MODULE
ARGUMENTS.

The package, imported before, makes nni.nas importable there too.
"""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    flag, module, *arguments = sys.argv[1:]
    if flag != "-m":
        sys.exit(f"expected -m MODULE, got {flag}")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)

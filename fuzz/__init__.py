"""Damaged and hostile files: every reader gives what they say, or one line. `make fuzz`, or python -m fuzz --help."""

"""The kinds of input, each a file."""

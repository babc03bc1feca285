"""The commands of the command line, one a file. They import torch only when they run."""

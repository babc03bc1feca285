"""Room for the pixels of a data set: in memory, or in a file where they are many."""

from __future__ import annotations

import math
import os
import tempfile

import numpy as np

from bankwise.search_space.errors import BankwiseError

IN_MEMORY_BYTES = 2 * 2**30  # of one split; larger ones lie in a temporary file, which the system pages in as needed


def empty_pixels(shape: tuple[int, ...]) -> np.ndarray:
    """An array uint8 to be filled. From IN_MEMORY_BYTES on it is mapped from a file in the folder of temporary files
    (TMPDIR), which is gone with the process.

    Raises BankwiseError where there is no room for the file.
    """
    size = math.prod(shape)
    if size <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype=np.uint8)
    folder = tempfile.gettempdir()
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # a disk that fills up later would kill the process
        except OSError as error:
            raise BankwiseError(
                f"images of {size:,} bytes once decoded find no room in {folder!r} ({error.strerror}); set TMPDIR to "
                "another folder, or use --limit or a smaller --image-size"
            ) from None
        return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)

"""Handwritten digits of 8 x 8 pixels, which come with scikit-learn."""

from __future__ import annotations

import numpy as np

from bankwise.trainers.data_sets.base import DataSet, Source, arrays, numbered


class Digits(DataSet):
    name = "digits"
    help = "embedded"
    images = ((1, 8, 8), 10)

    def read(self) -> Source:
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # grey levels 0..16
        return Source(numbered(10), arrays(pixels, digits.target))

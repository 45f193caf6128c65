"""Scikit-learn's 1,797 handwritten digits, which come with it: 8x8 pictures and their classes."""

import numpy as np


def read() -> tuple[np.ndarray, np.ndarray]:
    """Pictures (1797, 8, 8), float32 in [0, 1], and labels, int32, in the set's own order."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images / 16).astype(np.float32), found.target.astype(np.int32)

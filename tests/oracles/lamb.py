"""LAMB, in NumPy float64, for one layer (one leaf).

    m, v, mh, vh as in Adam
    r = mh / (sqrt(vh + eps_root) + eps) + decay p
    p <- p - rate phi(|p|) / |r| r,       |.| the Euclidean norm over the leaf

You, Li, Reddi, Hseu, Kumar, Bhojanapalli, Song, Demmel, Keutzer & Hsieh, 2020, arXiv:1904.00962,
algorithm 2: b1 0.9, b2 0.999, eps 1e-6; phi(z) = min(max(z, low), high), `norm_bounds`, or z.

Ambiguous: the ratio where phi(|p|) or |r| is 0, which is 1 in every program; the bounds of phi,
which the paper does not name; what a layer is (here, one array). The decay is inside the norm and
multiplied by the ratio; Keras takes it out of both.
"""

import numpy as np


def lamb(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    eps,
    eps_root=0.0,
    weight_decay=0.0,
    norm_bounds=None,
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = np.broadcast_to(weight_decay, len(gradients))
    p = np.array(start, dtype=np.float64)
    m, v = np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        r = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t) + eps_root) + eps) + decay[t - 1] * p
        size, length = np.sqrt(np.sum(p**2)), np.sqrt(np.sum(r**2))
        if norm_bounds is not None:
            size = min(max(size, norm_bounds[0]), norm_bounds[1])
        ratio = size / length if size > 0 and length > 0 else 1.0
        p = p - rate[t - 1] * ratio * r
        path.append(p)
    return np.stack(path)

"""NovoGrad, in NumPy float64, for one layer (one leaf).

    v <- b2 v + (1 - b2) |g|^2 (first |g|^2),     |.| the Euclidean norm over the leaf
    m <- b1 m + g / (sqrt(v) + eps) + decay p,      p <- p - rate m

Ginsburg et al., 2019, arXiv:1905.11286, algorithm 1 (b1 0.95, b2 0.98).

Ambiguous: nothing. Programs that multiply the sum by 1 - b1 (`grad_averaging`) are not meant.
"""

import numpy as np


def novograd(gradients, start, learning_rate, *, b1, b2, eps, weight_decay=0.0):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = np.broadcast_to(weight_decay, len(gradients))
    p = np.array(start, dtype=np.float64)
    m = np.zeros_like(p)
    v = 0.0
    path = []
    for t, g in enumerate(gradients):
        square = np.sum(g**2)
        v = square if t == 0 else b2 * v + (1 - b2) * square
        m = b1 * m + g / (np.sqrt(v) + eps) + decay[t] * p
        p = p - rate[t] * m
        path.append(p)
    return np.stack(path)


WHOLE_LEAF = True
DEFAULTS = {"b1": 0.95, "b2": 0.98, "eps": 1e-8, "weight_decay": 0.0}
OPTIONS = [
    {},
    {"b1": 0.8, "b2": 0.5},
    {"b1": 0.0, "b2": 0.9, "eps": 1e-2},
    {"weight_decay": 0.2},
]

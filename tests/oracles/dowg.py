"""DoWG, distance over weighted gradients, in NumPy float64.

    r2 <- max(r2, ||p - p0||^2),  v <- v + r2 ||g||^2,  step = rate r2 / (sqrt(v) + eps)
    p <- p - step (g + decay p)

with r2 = initial_distance^2 at first. Khaled, Mishchenko & Jin, 2023, arXiv:2305.16284, algorithm
1, and the authors' code, whose eps of 1e-4 is r2 at first and stands beside the root as well; the
paper has no eps there. The vector stands for the whole tree: both norms run over all of it.

Ambiguous: the decay, as in dog.py. r2 is of p before the step, and weighs the step's own gradient.
"""

import numpy as np


def dowg(gradients, start, learning_rate, *, initial_distance, eps, weight_decay=0.0):
    """Parameters after each step, shape (T, n), for given gradients of shape (T, n)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    p = p0 = np.array(start, dtype=np.float64)
    r2, v = initial_distance**2, 0.0
    path = []
    for t, g in enumerate(gradients):
        r2 = max(r2, np.sum((p - p0) ** 2))
        v = v + r2 * np.sum(g**2)
        step = rate[t] * r2 / (np.sqrt(v) + eps)
        p = p - step * (g + weight_decay * p)
        path.append(p)
    return np.stack(path)

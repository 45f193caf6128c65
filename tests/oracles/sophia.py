"""Sophia, in NumPy float64.

    m <- b1 m + (1 - b1) g
    h <- b2 h + (1 - b2) estimate     at t = 1, 1 + every, 1 + 2 every, ...
    p <- p - rate clip(m / max(gamma h, eps), -1, 1) - rate decay p

Liu, Li, Hall, Liang & Ma, 2023, arXiv:2305.14342, algorithm 3: b1 0.96, b2 0.99, eps 1e-12, every
10, gamma 0.01 for Hutchinson's estimate of the Hessian's diagonal and 0.05 for Gauss-Newton-
Bartlett's. `hessian` holds the estimates, one a step; those of the steps between are not read.

Ambiguous: b1 is 0.965 in the authors' program, which has max(h rho batch + 1e-15) in place of
gamma h, estimates after the step and so begins with h = 0. No bias is corrected: the first h is
(1 - b2) of the estimate. optax corrects that of m, and estimates after the step as well.
"""

import numpy as np


def sophia(
    gradients, start, learning_rate, *, hessian, b1, b2, gamma, eps, every, weight_decay=0.0
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = rate * weight_decay
    p = np.array(start, dtype=np.float64)
    m, h = np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, (g, estimate) in enumerate(zip(gradients, hessian, strict=True), start=1):
        m = b1 * m + (1 - b1) * g
        if (t - 1) % every == 0:
            h = b2 * h + (1 - b2) * estimate
        u = np.clip(m / np.maximum(gamma * h, eps), -1, 1)
        p = p - rate[t - 1] * u - decay[t - 1] * p
        path.append(p)
    return np.stack(path)

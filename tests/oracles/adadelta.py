"""AdaDelta, in NumPy float64.

    a <- rho a + (1 - rho) g^2
    u = sqrt(d + eps) / sqrt(a + eps) g
    d <- rho d + (1 - rho) u^2
    p <- p - rate u

Zeiler, 2012, arXiv:1212.5701, algorithm 1. The paper has no learning rate (rate = 1) and takes
rho 0.95 and eps 1e-6 for its speech experiments.

Ambiguous: nothing in the rule; eps stands inside both roots everywhere, and d gathers the u before
the rate. The first step is about sqrt(eps) / sqrt(1 - rho), so that eps sets the early speed.
"""

import numpy as np


def adadelta(gradients, start, learning_rate, *, rho, eps):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    p = np.array(start, dtype=np.float64)
    a, d = np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients):
        a = rho * a + (1 - rho) * g**2
        u = np.sqrt(d + eps) / np.sqrt(a + eps) * g
        d = rho * d + (1 - rho) * u**2
        p = p - rate[t] * u
        path.append(p)
    return np.stack(path)

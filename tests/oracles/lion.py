"""Lion, in NumPy float64.

    u = sign(b1 m + (1 - b1) g)
    p <- p - rate (u + decay p)
    m <- b2 m + (1 - b2) g

Chen et al., 2023, arXiv:2302.06675, algorithm 2 (b1 0.9, b2 0.99).

Ambiguous: nothing; sign(0) = 0, and the decay is coupled to the rate, as in the paper's program.
Where the average is 0 but for rounding, the sign is noise: no trajectory should depend on it.
"""

import numpy as np


def lion(gradients, start, learning_rate, *, b1, b2, weight_decay=0.0):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    p = np.array(start, dtype=np.float64)
    m = np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients):
        u = np.sign(b1 * m + (1 - b1) * g)
        p = p - rate[t] * (u + weight_decay * p)
        m = b2 * m + (1 - b2) * g
        path.append(p)
    return np.stack(path)

"""ADOPT, in NumPy float64.

    t = 1:   v <- g^2, and nothing moves
    t > 1:   u = clip(g / max(sqrt(v), eps), -(t - 1)^power, (t - 1)^power)   with the old v
             m <- b1 m + (1 - b1) u,   p <- p - rate m - rate decay p
             v <- b2 v + (1 - b2) g^2

Taniguchi, Harada, Minegishi, Oshima, Jeong, Nagahara, Iiyama, Suzuki, Iwasawa & Matsuo, 2024,
arXiv:2411.02853, algorithm 2: b1 0.9, b2 0.9999, eps 1e-6, power 1/4. The gradient is divided by a
v that does not know it, before the average: so it converges for any b2.

Ambiguous: the clip came with a later version of the paper (`clip_power=None` for the first). The
paper counts its first, still gradient as 0, so that its t is our t - 1. The decay of the authors'
program spares the first call as well.
"""

import numpy as np


def adopt(gradients, start, learning_rate, *, b1, b2, eps, clip_power=0.25, weight_decay=0.0):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = rate * weight_decay
    p = np.array(start, dtype=np.float64)
    m, v = np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients, start=1):
        if t == 1:
            v = g**2
        else:
            u = g / np.maximum(np.sqrt(v), eps)
            if clip_power is not None:
                limit = (t - 1) ** clip_power
                u = np.clip(u, -limit, limit)
            m = b1 * m + (1 - b1) * u
            p = p - rate[t - 1] * m - decay[t - 1] * p
            v = b2 * v + (1 - b2) * g**2
        path.append(p)
    return np.stack(path)

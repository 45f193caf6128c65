"""MARS over AdamW, the approximate form, in NumPy float64, for one leaf.

    c = g + gamma b1 / (1 - b1) (g - previous g)
    c <- c / max(1, |c|),       |.| the Euclidean norm over the leaf
    m, v as in Adam, of c;      p <- p - rate (mh / (sqrt(vh) + eps) + decay p)

Yuan, Liu, Wu, Zhou & Gu, 2024, arXiv:2411.10438, algorithm 2: b1 0.95, b2 0.99, gamma 0.025.
The exact form takes the previous parameters' gradient on the present batch, and so two gradients
a step; the approximate one the previous gradient as it was.

Ambiguous: the previous gradient at t = 1. In the exact form both points are one, and the
difference is 0; the authors' program takes a previous gradient of 0, as here, which scales c by
1 + gamma b1 / (1 - b1). Their program leaves vectors to AdamW; here every leaf is treated alike.
"""

import numpy as np


def mars(gradients, start, learning_rate, *, b1, b2, eps, gamma, weight_decay=0.0):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = rate * weight_decay
    p = np.array(start, dtype=np.float64)
    m, v, previous = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients, start=1):
        c = g + gamma * b1 / (1 - b1) * (g - previous)
        c = c / max(1.0, np.sqrt(np.sum(c**2)))
        previous = g
        m = b1 * m + (1 - b1) * c
        v = b2 * v + (1 - b2) * c**2
        u = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
        p = p - rate[t - 1] * u - decay[t - 1] * p
        path.append(p)
    return np.stack(path)

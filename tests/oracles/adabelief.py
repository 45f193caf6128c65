"""AdaBelief, in NumPy float64.

    m <- b1 m + (1 - b1) g,   s <- b2 s + (1 - b2) (g - m)^2 + eps_root   with the new m
    p <- p - rate m / (1 - b1^t) / (sqrt(s / (1 - b2^t)) + eps) - rate decay p

Zhuang, Tang, Ding, Tatikonda, Dvornek, Papademetris & Duncan, 2020, arXiv:2010.07468, algorithm 2:
one epsilon in both places (`eps_root=None`), 1e-8.

Ambiguous: the size of epsilon (1e-8 in the paper's algorithm, 1e-16 in the authors' package and in
optax, which has two of them). It is stored with s, and so gathers to eps_root / (1 - b2): under a
constant gradient g it is all that s keeps, and the steps grow to |g| sqrt((1 - b2) / eps_root). The
package also rectifies like RAdam by default, which the paper does not.
"""

import numpy as np


def adabelief(gradients, start, learning_rate, *, b1, b2, eps, eps_root=None, weight_decay=0.0):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = rate * weight_decay
    stored = eps if eps_root is None else eps_root
    p = np.array(start, dtype=np.float64)
    m, s = np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + stored
        u = m / (1 - b1**t) / (np.sqrt(s / (1 - b2**t)) + eps)
        p = p - rate[t - 1] * u - decay[t - 1] * p
        path.append(p)
    return np.stack(path)

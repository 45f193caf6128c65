"""Adan, in NumPy float64.

    d = g - previous g (0 at t = 1)
    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) d,   n <- b3 n + (1 - b3) (g + b2 d)^2
    u = (m / (1 - b1^t) + b2 v / (1 - b2^t)) / (sqrt(n / (1 - b3^t)) + eps)
    p <- (p - rate u) / (1 + rate decay)       proximal, or p <- p - rate u - rate decay p

Xie, Zhou, Li, Lin & Yan, 2022, arXiv:2208.06677, algorithm 1. b1 0.98, b2 0.92 and b3 0.99 are 1
minus the paper's betas, which weigh the new value; what multiplies d and v is then b2.

Ambiguous: the paper starts m and n at the first gradient and its square and corrects no bias; the
authors' program starts at 0 and corrects all three, as here. The text has eps inside the root, the
program outside. optax 0.2.8 multiplies d and v by 1 - b2, which is another rule.
"""

import numpy as np

from .denominator import denominator


def adan(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    b3,
    eps,
    eps_placement="outside",
    weight_decay=0.0,
    proximal=True,
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = rate * weight_decay
    p = np.array(start, dtype=np.float64)
    m, v, n = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients, start=1):
        d = g - gradients[t - 2] if t > 1 else 0 * g
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * d
        n = b3 * n + (1 - b3) * (g + b2 * d) ** 2
        u = m / (1 - b1**t) + b2 * v / (1 - b2**t)
        u = u / denominator(n, 1 / (1 - b3**t), eps=eps, eps_placement=eps_placement)
        if proximal:
            p = (p - rate[t - 1] * u) / (1 + decay[t - 1])
        else:
            p = p - rate[t - 1] * u - decay[t - 1] * p
        path.append(p)
    return np.stack(path)

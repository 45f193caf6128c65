"""AdaMax, in NumPy float64.

    m <- b1 m + (1 - b1) g,   u <- max(b2 u, |g|)
    p <- p - rate m / (1 - b1^t) / u - rate decay p

Kingma & Ba, 2015, arXiv:1412.6980, algorithm 2 (rate 0.002). u has no bias: the maximum starts
with the first gradient. The paper has no eps, and no decay.

Ambiguous: what 0 / 0 is while every gradient was 0 (here 0), and where an eps goes: "inside" the
maximum, max(b2 u, |g| + eps) (torch, optax), or "outside", u + eps at the division (Keras).
"""

import numpy as np


def adamax(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    eps=0.0,
    eps_placement="outside",
    weight_decay=0.0,
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    if eps_placement not in ("inside", "outside"):
        raise ValueError(f"adamax: unknown eps_placement {eps_placement!r}")
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = rate * weight_decay
    p = np.array(start, dtype=np.float64)
    m, u = np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        if eps_placement == "inside":
            u = np.maximum(b2 * u, np.abs(g) + eps)
            d = u
        else:
            u = np.maximum(b2 * u, np.abs(g))
            d = u + eps
        mh = m / (1 - b1**t)
        step = np.where(d == 0, 0.0, mh) / np.where(d == 0, 1.0, d)
        p = p - rate[t - 1] * step - decay[t - 1] * p
        path.append(p)
    return np.stack(path)

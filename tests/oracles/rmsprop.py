"""RMSProp, plain, centered and with momentum, in NumPy float64.

    n <- r n + (1 - r) g^2,   a <- r a + (1 - r) g
    u = g / (sqrt(n) + eps),  centered: u = g / (sqrt(n - a^2) + eps)
    p <- p - rate u,          with momentum: b <- mu b + u,  p <- p - rate b

Hinton, Srivastava & Swersky, 2012, lecture 6e of "Neural Networks for Machine Learning" (decay
0.9, no eps on the slide); centered: Graves, 2013, arXiv:1308.0850, eps inside the root.

Ambiguous: eps outside (torch) or inside the root (Keras, optax, Graves); whether the momentum holds
u (torch, here) or rate u (Keras, optax), which agree while the rate is constant. The variance is
the textbook difference n - a^2, clipped at 0 against rounding.
"""

import numpy as np


def rmsprop(
    gradients,
    start,
    learning_rate,
    *,
    decay,
    eps,
    centered=False,
    momentum=None,
    nesterov=False,
    eps_placement="outside",
):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    mu = 0.0 if momentum is None else momentum
    p = np.array(start, dtype=np.float64)
    n, a, b = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients):
        n = decay * n + (1 - decay) * g**2
        a = decay * a + (1 - decay) * g
        variance = np.maximum(n - a**2, 0) if centered else n
        if eps_placement == "outside":
            d = np.sqrt(variance) + eps
        elif eps_placement == "inside":
            d = np.sqrt(variance + eps)
        else:
            raise ValueError(f"rmsprop: unknown eps_placement {eps_placement!r}")
        u = g / d
        b = mu * b + u
        p = p - rate[t] * (u + mu * b if nesterov else b)
        path.append(p)
    return np.stack(path)

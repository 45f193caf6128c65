"""Prodigy, in NumPy float64.

    l = d rate k,  k = 1 or, with `bias_correction`, sqrt(1 - b2^t) / (1 - b1^t)
    r <- b3 r + d l <g, p0 - p>,   s <- b3 s + d l g
    m <- b1 m + (1 - b1) d g,      v <- b2 v + (1 - b2) d^2 g^2
    d' = max(d, d_coef r / ||s||_1)
    p <- p - l (m / (sqrt(v) + d' eps) + decay p),   then d <- d'

Mishchenko & Defazio, 2024, arXiv:2306.06101, the Adam version, and the authors' code; b3 is
sqrt(b2) unless given. The vector stands for the whole tree: r, s and d run over all of it.

Ambiguous: beside eps the paper has d, the authors' code the new d', which is taken; the step l uses
the old d. `safeguard_warmup` puts d d for d l in s. The bias correction is off in the authors' code
and always on in optax. While s is 0, d stays. The code divides r and s by the first d, which
cancels. The decay is multiplied by l, not by the rate.
"""

import numpy as np


def prodigy(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    eps,
    d0,
    b3=None,
    d_coef=1.0,
    bias_correction=False,
    safeguard_warmup=False,
    weight_decay=0.0,
):
    """Parameters after each step, shape (T, n), for given gradients of shape (T, n)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    b3 = np.sqrt(b2) if b3 is None else b3
    p = p0 = np.array(start, dtype=np.float64)
    m, v, s = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    d, r = d0, 0.0
    path = []
    for t, g in enumerate(gradients, start=1):
        k = np.sqrt(1 - b2**t) / (1 - b1**t) if bias_correction else 1.0
        step = d * rate[t - 1] * k
        r = b3 * r + d * step * np.sum(g * (p0 - p))
        s = b3 * s + d * (d if safeguard_warmup else step) * g
        m = b1 * m + (1 - b1) * d * g
        v = b2 * v + (1 - b2) * d**2 * g**2
        total = np.sum(np.abs(s))
        if total > 0:
            d = max(d, d_coef * r / total)
        p = p - step * (m / (np.sqrt(v) + d * eps) + weight_decay * p)
        path.append(p)
    return np.stack(path)

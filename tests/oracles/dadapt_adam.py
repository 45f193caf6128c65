"""D-Adapted Adam, in NumPy float64.

    l = d rate k,  k = 1 or, with `bias_correction`, sqrt(1 - b2^t) / (1 - b1^t);  c = sqrt(b2)
    r <- c r + (1 - c) l <g, s / (sqrt(v) + eps)>
    m <- b1 m + (1 - b1) l g,   v <- b2 v + (1 - b2) g^2,   s <- c s + (1 - c) l g
    d <- max(d, r / ((1 - c) ||s||_1))
    p <- p - m / (sqrt(v) + eps) - l decay p

Defazio & Mishchenko, 2023, arXiv:2301.07733, the Adam version, and the authors' code. The vector
stands for the whole tree: r, s and d run over all of it.

Ambiguous: r takes s and v from before the step, as in the authors' code of today; their first
version had another estimate of d, with c = b2. The bias correction is off in their code and always
on in optax. The rate stands inside m, so that a change of it acts late. While s is 0, d stays. The
decay is multiplied by l, not by the rate.
"""

import numpy as np


def dadapt_adam(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    eps,
    d0,
    bias_correction=False,
    weight_decay=0.0,
):
    """Parameters after each step, shape (T, n), for given gradients of shape (T, n)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    c = np.sqrt(b2)
    p = np.array(start, dtype=np.float64)
    m, v, s = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    d, r = d0, 0.0
    path = []
    for t, g in enumerate(gradients, start=1):
        k = np.sqrt(1 - b2**t) / (1 - b1**t) if bias_correction else 1.0
        step = d * rate[t - 1] * k
        r = c * r + (1 - c) * step * np.sum(g * s / (np.sqrt(v) + eps))
        m = b1 * m + (1 - b1) * step * g
        v = b2 * v + (1 - b2) * g**2
        s = c * s + (1 - c) * step * g
        total = np.sum(np.abs(s))
        if total > 0:
            d = max(d, r / ((1 - c) * total))
        p = p - m / (np.sqrt(v) + eps) - step * weight_decay * p
        path.append(p)
    return np.stack(path)

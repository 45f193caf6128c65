"""Nadam, in NumPy float64.

    mu_t = b1 (1 - 0.5 * 0.96^(t psi))
    m <- mu_t m + (1 - mu_t) g,   n <- b2 n + (1 - b2) g^2
    mh = mu_{t+1} m / (1 - prod_{i<=t+1} mu_i) + (1 - mu_t) g / (1 - prod_{i<=t} mu_i)
    nh = b2 n / (1 - b2^t)
    p <- p - rate mh / (sqrt(nh) + eps)

Dozat, 2016, "Incorporating Nesterov Momentum into Adam" (ICLR workshop), algorithm 2, with
b1 = mu = 0.99, b2 = nu = 0.999 and psi = `momentum_decay` = 1/250.

Ambiguous: the factor b2 in nh is in the paper only (`correct_nu`); torch and Keras average m with
the constant b1 (`scheduled_average=False`); psi is 0.004 in torch, 1 in Keras 3; optax has no
schedule (`momentum_decay=None`, mu_t = b1). For eps_placement="uncorrected", sqrt(b2 / (1 - b2^t))
multiplies sqrt(n) + eps.
"""

import numpy as np

from .denominator import denominator


def nadam(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    eps,
    momentum_decay=0.004,
    scheduled_average=True,
    correct_nu=True,
    eps_placement="outside",
):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    p = np.array(start, dtype=np.float64)
    m, n = np.zeros_like(p), np.zeros_like(p)
    product = 1.0
    path = []
    for t, g in enumerate(gradients, start=1):
        mu, mu_next = b1, b1
        if momentum_decay is not None:
            mu = b1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
            mu_next = b1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
        product = product * mu
        average = mu if scheduled_average else b1
        m = average * m + (1 - average) * g
        n = b2 * n + (1 - b2) * g**2
        mh = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
        c = (b2 if correct_nu else 1.0) / (1 - b2**t)
        p = p - rate[t - 1] * mh / denominator(n, c, eps=eps, eps_placement=eps_placement)
        path.append(p)
    return np.stack(path)

"""Nadam, and Nadam with decoupled decay, in NumPy float64.

    mu_t = b1 (1 - 0.5 * 0.96^(t psi))
    m <- mu_t m + (1 - mu_t) g,   n <- b2 n + (1 - b2) g^2
    mh = mu_{t+1} m / (1 - prod_{i<=t+1} mu_i) + (1 - mu_t) g / (1 - prod_{i<=t} mu_i)
    nh = b2 n / (1 - b2^t)
    p <- p - rate mh / (sqrt(nh) + eps)      NadamW: - rate decay p, or - decay p, independent

Dozat, 2016, "Incorporating Nesterov Momentum into Adam" (ICLR workshop), algorithm 2, with
b1 = mu = 0.99, b2 = nu = 0.999 and psi = `momentum_decay` = 1/250; the decay is that of AdamW.

Ambiguous: the factor b2 in nh is in the paper only (`correct_nu`); torch and Keras average m with
the constant b1 (`scheduled_average=False`); psi is 0.004 in torch, 1 in Keras 3; optax has no
schedule (None, mu_t = b1). With eps "uncorrected", sqrt(b2 / (1 - b2^t)) multiplies sqrt(n) + eps.
"""

import numpy as np

from .denominator import denominator


def nadam(gradients, start, learning_rate, **options):
    """Parameters after each step, shape (T, ...); the options are nadamw's, without a decay."""
    return nadamw(gradients, start, learning_rate, weight_decay=0.0, **options)


def nadamw(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    eps,
    weight_decay,
    momentum_decay=0.004,
    scheduled_average=True,
    correct_nu=True,
    eps_placement="outside",
    independent_decay=False,
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = np.broadcast_to(weight_decay, len(gradients)) * (1.0 if independent_decay else rate)
    half, psi = (0.0, 0.0) if momentum_decay is None else (0.5, momentum_decay)
    p = np.array(start, dtype=np.float64)
    m, n, product = np.zeros_like(p), np.zeros_like(p), 1.0
    path = []
    for t, g in enumerate(gradients, start=1):
        mu, mu_next = (b1 * (1 - half * 0.96 ** (i * psi)) for i in (t, t + 1))
        product = product * mu
        average = mu if scheduled_average else b1
        m = average * m + (1 - average) * g
        n = b2 * n + (1 - b2) * g**2
        mh = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
        c = (b2 if correct_nu else 1.0) / (1 - b2**t)
        u = mh / denominator(n, c, eps=eps, eps_placement=eps_placement)
        p = p - rate[t - 1] * u - decay[t - 1] * p
        path.append(p)
    return np.stack(path)

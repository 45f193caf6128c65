"""AdEMAMix, in NumPy float64.

    m <- b1 m + (1 - b1) g,   s <- b3_t s + (1 - b3_t) g,   v <- b2 v + (1 - b2) g^2
    p <- p - rate ((m / (1 - b1^t) + alpha_t s) / (sqrt(v / (1 - b2^t)) + eps) + decay p)
    with a warm-up of T steps, x = min(t / T, 1):
    alpha_t = x alpha,   b3_t = min(b3, exp(ln b1 ln b3 / ((1 - x) ln b3 + x ln b1)))

Pagliardini, Ablin & Grangier, 2024, arXiv:2409.03137, algorithm 1: b1 0.9, b2 0.999, b3 0.9999,
alpha 5 to 10, T the number of all steps. The bias of the slow average s is not corrected.

Ambiguous: whether a schedule counts from 0 or 1 (here 1, the t of the algorithm); b3_t is b1 at
t = 0 and b3 from t = T on. Without a warm-up (`warmup_steps=None`, optax) both are constant.
"""

import numpy as np

from .denominator import denominator


def ademamix(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    b3,
    alpha,
    eps,
    warmup_steps=None,
    eps_placement="outside",
    weight_decay=0.0,
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = rate * weight_decay
    p = np.array(start, dtype=np.float64)
    m, slow, v = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients, start=1):
        alpha_t, b3_t = schedules(t, b1, b3, alpha, warmup_steps)
        m = b1 * m + (1 - b1) * g
        slow = b3_t * slow + (1 - b3_t) * g
        v = b2 * v + (1 - b2) * g**2
        u = m / (1 - b1**t) + alpha_t * slow
        u = u / denominator(v, 1 / (1 - b2**t), eps=eps, eps_placement=eps_placement)
        p = p - rate[t - 1] * u - decay[t - 1] * p
        path.append(p)
    return np.stack(path)


def schedules(t, b1, b3, alpha, warmup_steps):
    """alpha_t and b3_t."""
    if warmup_steps is None:
        return alpha, b3
    x = min(t / warmup_steps, 1.0)
    start, end = np.log(b1), np.log(b3)
    return x * alpha, min(b3, np.exp(start * end / ((1 - x) * end + x * start)))

"""Yogi, in NumPy float64.

    m <- b1 m + (1 - b1) g,   v <- v - (1 - b2) sign(v - g^2) g^2
    p <- p - rate m / (sqrt(v) + eps) - rate decay p

Zaheer, Reddi, Sachan, Kale & Kumar, 2018, "Adaptive Methods for Nonconvex Optimization" (NeurIPS),
algorithm 2: rate 0.01, b1 0.9, b2 0.999, eps 1e-3. v moves by (1 - b2) g^2 whatever its own size,
so that it forgets large gradients slowly; it may overshoot g^2 by that much, and never below 0.

Ambiguous: the start of v (`initial_accumulator_value`). The paper writes down no value but advises
the squared gradient over a large batch; programs take 1e-6. The paper corrects no bias; optax
corrects both moments, and starts m at 1e-6 as well, which is not offered here.
"""

import numpy as np


def yogi(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    eps,
    initial_accumulator_value=0.0,
    bias_correction=False,
    weight_decay=0.0,
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = rate * weight_decay
    p = np.array(start, dtype=np.float64)
    m, v = np.zeros_like(p), np.full_like(p, initial_accumulator_value)
    path = []
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        v = v - (1 - b2) * np.sign(v - g**2) * g**2
        c1, c2 = (1 - b1**t, 1 - b2**t) if bias_correction else (1.0, 1.0)
        u = m / c1 / (np.sqrt(v / c2) + eps)
        p = p - rate[t - 1] * u - decay[t - 1] * p
        path.append(p)
    return np.stack(path)

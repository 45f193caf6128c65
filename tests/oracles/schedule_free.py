"""Schedule-Free over SGD and over Adam without momentum, in NumPy float64.

    y is where the gradient is taken;  z <- z - rate (d(g) + decay y)
    w = (largest rate so far)^power,  c = w / sum of all w
    x <- (1 - c) x + c z,  y = (1 - b1) z + b1 x

with d(g) = g (SGD), or g / (sqrt(v / (1 - b2^t)) + eps) after v <- b2 v + (1 - b2) g^2 (Adam).
Defazio, Yang, Mehta, Mishchenko, Khaled & Cutkosky, 2024, arXiv:2405.15682, algorithm 1, and the
authors' code (power 2). x, y and z start as one; y is trained, x evaluated.

Ambiguous: the count. The weight takes the rate of the same step as z does, also in a warm-up (optax
gives z the rate of the step before). At a rate of 0 so far, c = 0. Some of the authors' versions
multiply the rate, and so the weight, by sqrt(1 - b2^t), and leave v as it is; another power, of t,
is 0 there and left out.
"""

import numpy as np


def schedule_free_sgd(gradients, start, learning_rate, **how):
    """Paths of y and of x, two arrays of shape (T, ...)."""
    return _schedule_free(lambda g, v, t: (g, v), gradients, start, learning_rate, **how)


def schedule_free_adam(gradients, start, learning_rate, *, b2, eps, **how):
    """Paths of y and of x, two arrays of shape (T, ...)."""

    def inner(g, v, t):
        v = b2 * v + (1 - b2) * g**2
        return g / (np.sqrt(v / (1 - b2**t)) + eps), v

    return _schedule_free(inner, gradients, start, learning_rate, **how)


def _schedule_free(inner, gradients, start, learning_rate, *, b1, weight_power, weight_decay=0.0):
    rate = np.broadcast_to(learning_rate, len(gradients))
    x = y = z = np.array(start, dtype=np.float64)
    v, total, largest = np.zeros_like(x), 0.0, 0.0
    ys, xs = [], []
    for t, g in enumerate(gradients, start=1):
        d, v = inner(g, v, t)
        z = z - rate[t - 1] * (d + weight_decay * y)
        largest = max(largest, rate[t - 1])
        w = largest**weight_power if largest > 0 else 0.0
        total = total + w
        c = w / total if total > 0 else 0.0
        x = (1 - c) * x + c * z
        y = (1 - b1) * z + b1 * x
        ys.append(y)
        xs.append(x)
    return np.stack(ys), np.stack(xs)

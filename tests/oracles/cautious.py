"""Cautious SGD and Adam, in NumPy float64.

    mask = 1 where d g > 0, else 0
    p <- p - rate d mask / max(mean(mask), 1e-3)

for the direction d of the inner rule, with the mean over the leaf. Liang, Chen, Liu & Liu, 2024,
arXiv:2411.16085, and the authors' code.

Ambiguous: the scale. The paper's algorithms have n / (sum(mask) + 1), its program 1 / (mean(mask) +
eps), the authors' code 1 / max(mean(mask), 1e-3), which is taken. Where g or d is 0, the mask is 0
in the code: a coordinate without a gradient does not coast. The inner state knows no mask.
"""

import numpy as np


def cautious_sgd(gradients, start, learning_rate, *, momentum=None, nesterov=False):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    mu = 0.0 if momentum is None else momentum

    def inner(g, state, t):
        b = mu * state[0] + g
        return g + mu * b if nesterov else b, [b]

    return _cautious(inner, 1, gradients, start, learning_rate)


def cautious_adam(gradients, start, learning_rate, *, b1, b2, eps):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""

    def inner(g, state, t):
        m = b1 * state[0] + (1 - b1) * g
        v = b2 * state[1] + (1 - b2) * g**2
        return m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps), [m, v]

    return _cautious(inner, 2, gradients, start, learning_rate)


def _cautious(inner, slots, gradients, start, learning_rate):
    rate = np.broadcast_to(learning_rate, len(gradients))
    p = np.array(start, dtype=np.float64)
    state = [np.zeros_like(p)] * slots
    path = []
    for t, g in enumerate(gradients, start=1):
        d, state = inner(g, state, t)
        mask = np.sign(d) * np.sign(g) > 0
        p = p - rate[t - 1] * d * mask / max(np.mean(mask), 1e-3)
        path.append(p)
    return np.stack(path)

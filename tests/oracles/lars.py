"""LARS, in NumPy float64, for one layer (one leaf).

    q = trust |p| / (|g| + decay |p| + eps),     |.| the Euclidean norm over the leaf
    b <- momentum b + rate q (g + decay p),      p <- p - b

You, Gitman & Ginsburg, 2017, arXiv:1708.03888, algorithm 1: the rate is inside the buffer, so that
a change of the rate does not reach steps that are already in it.

Ambiguous: the denominator. The paper adds the norms (eps 0); optax takes the norm of the sum,
|g + decay p| + eps (`decay_in_norm=True`). Where |p| or the denominator is 0, q is 1, as in the
programs. Nesterov's form, p <- p - (rate q (g + decay p) + momentum b), is not in the paper.
"""

import numpy as np


def lars(
    gradients,
    start,
    learning_rate,
    *,
    momentum,
    nesterov=False,
    weight_decay=0.0,
    trust_coefficient=1e-3,
    eps=0.0,
    decay_in_norm=False,
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = np.broadcast_to(weight_decay, len(gradients))
    p = np.array(start, dtype=np.float64)
    b = np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients):
        decayed = g + decay[t] * p
        size = np.sqrt(np.sum(p**2))
        if decay_in_norm:
            length = np.sqrt(np.sum(decayed**2)) + eps
        else:
            length = np.sqrt(np.sum(g**2)) + decay[t] * size + eps
        q = trust_coefficient * size / length if size > 0 and length > 0 else 1.0
        step = rate[t] * q * decayed
        b = momentum * b + step
        p = p - (step + momentum * b if nesterov else b)
        path.append(p)
    return np.stack(path)

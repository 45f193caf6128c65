"""Adam and AdamW, in NumPy float64.

    m <- b1 m + (1 - b1) g,       v <- b2 v + (1 - b2) g^2
    mh = m / (1 - b1^t),          vh = v / (1 - b2^t)
    Adam     p <- p - rate mh / (sqrt(vh) + eps)            after g <- g + l2 p
    AdamW    p <- p - rate (mh / (sqrt(vh) + eps) + decay p)          coupled to the rate
             p <- p - rate mh / (sqrt(vh) + eps) - decay p            independent of it

Kingma & Ba, 2015, arXiv:1412.6980, algorithm 1; Loshchilov & Hutter, 2019, arXiv:1711.05101,
algorithm 2.

Ambiguous: where eps stands (see denominator.py); whether the decay is multiplied by the whole rate
(torch, Keras, optax) or, as in the AdamW paper, by the schedule's multiplier but not by the base
rate: pass that product as `weight_decay`, one value a step. The decay uses p before the step.
"""

import numpy as np

from .denominator import denominator


def adam(gradients, start, learning_rate, *, b1, b2, eps, l2=0.0, **placement):
    """Parameters after each step, shape (T, ...); `placement` is eps_root and eps_placement."""
    return _adam(gradients, start, learning_rate, b1, b2, eps, l2, 0.0, False, placement)


def adamw(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    eps,
    weight_decay,
    independent_decay=False,
    **placement,
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    decay = weight_decay, independent_decay
    return _adam(gradients, start, learning_rate, b1, b2, eps, 0.0, *decay, placement)


def _adam(gradients, start, learning_rate, b1, b2, eps, l2, weight_decay, independent, placement):
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = np.broadcast_to(weight_decay, len(gradients)) * (1.0 if independent else rate)
    p = np.array(start, dtype=np.float64)
    m, v = np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients, start=1):
        g = g + l2 * p
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        u = m / (1 - b1**t) / denominator(v, 1 / (1 - b2**t), eps=eps, **placement)
        p = p - rate[t - 1] * u - decay[t - 1] * p
        path.append(p)
    return np.stack(path)

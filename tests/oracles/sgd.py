"""SGD, momentum and Nesterov's momentum, in NumPy float64.

    plain      p <- p - rate g
    momentum   b <- mu b + g,  p <- p - rate b
    Nesterov   b <- mu b + g,  p <- p - rate (g + mu b)

Robbins & Monro, 1951; Polyak, 1964 ("heavy ball"); Nesterov, 1983, in the form of Sutskever,
Martens, Dahl & Hinton, 2013, written for the parameters at which the gradient is taken.

Ambiguous: who multiplies by the rate first. Sutskever et al. keep the rate inside the buffer
(b <- mu b - rate g), as Keras does; torch and optax multiply last, and so does this file. The two
agree while the rate is constant, and part as soon as it changes.
"""

import numpy as np


def sgd(gradients, start, learning_rate, *, momentum=None, nesterov=False):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    mu = 0.0 if momentum is None else momentum
    p = np.array(start, dtype=np.float64)
    b = np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients):
        b = mu * b + g
        p = p - rate[t] * (g + mu * b if nesterov else b)
        path.append(p)
    return np.stack(path)

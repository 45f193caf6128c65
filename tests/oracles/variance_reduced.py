"""The estimates of STORM and of MARS, from gradients at two points, in NumPy float64.

STORM, Cutkosky & Orabona, 2019, arXiv:1905.10018, algorithm 1:
    d_1 = g(x_1, xi_1),  d_t = g(x_t, xi_t) + (1 - a_t) (d_(t-1) - g(x_(t-1), xi_t))
MARS, Yuan, Liu, Wu, Zhou & Gu, 2024, arXiv:2411.10438, algorithm 1:
    c_t = g(x_t, xi_t) + gamma b1 / (1 - b1) (g(x_t, xi_t) - g(x_(t-1), xi_t)),  x_0 = x_1
    c_t <- c_t / |c_t| where |c_t| > 1

Ambiguous: whose norm it is in MARS. The paper has one vector of parameters, the authors' program
takes each leaf by itself; one call is one leaf here.
"""

import numpy as np


def storm(gradients, previous, *, a):
    """Estimates, shape (T, ...), of gradients of shape (T, ...); `a` is a number or T numbers.

    `previous[t]` is the gradient on batch t at the point of step t - 1; the first is not read.
    """
    a = np.broadcast_to(a, len(gradients))
    found = [np.asarray(gradients[0], dtype=np.float64)]
    for t in range(1, len(gradients)):
        found.append(gradients[t] + (1 - a[t]) * (found[-1] - previous[t]))
    return np.stack(found)


def mars(gradients, previous, *, gamma, b1):
    """Corrected gradients, shape (T, ...), of gradients of shape (T, ...)."""
    found = []
    for t, g in enumerate(gradients):
        before = g if t == 0 else previous[t]
        c = g + gamma * b1 / (1 - b1) * (g - before)
        length = np.sqrt(np.sum(np.square(c)))
        found.append(c / length if length > 1 else c)
    return np.stack(found)

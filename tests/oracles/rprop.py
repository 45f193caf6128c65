"""Rprop, in NumPy float64.

    step <- min(step eta_plus, largest)    where g and the last g have one sign
    step <- max(step eta_minus, smallest)  where they have not; then g counts as 0
    p <- p - step sign(g)                  step starts at the rate

Riedmiller & Braun, 1993, without weight backtracking: iRprop- of Igel & Huesken, 2000; torch.

Ambiguous: what a changing rate means, since the paper has none. Here it scales every step.
"""

import numpy as np


def rprop(gradients, start, learning_rate, *, eta_minus, eta_plus, smallest_step, largest_step):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    p = np.array(start, dtype=np.float64)
    steps = np.ones_like(p)  # in units of the rate
    before = np.zeros_like(p)
    path = []
    for t, gradient in enumerate(gradients):
        g = np.array(gradient)
        for i in np.ndindex(g.shape):
            agrees = g[i] * before[i]
            if agrees > 0:
                steps[i] = min(steps[i] * eta_plus, largest_step / rate[t])
            elif agrees < 0:
                steps[i] = max(steps[i] * eta_minus, smallest_step / rate[t])
                g[i] = 0.0
        p = p - rate[t] * steps * np.sign(g)
        before = g
        path.append(p)
    return np.stack(path)


WHOLE_LEAF = False
DEFAULTS = {"eta_minus": 0.5, "eta_plus": 1.2, "smallest_step": 1e-6, "largest_step": 50.0}
OPTIONS = [
    {},
    {"eta_minus": 0.8, "eta_plus": 1.05},
    {"largest_step": 0.5},
    {"smallest_step": 0.05, "eta_minus": 0.1},
]

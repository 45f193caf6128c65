"""Lookahead over SGD with momentum and over Adam, in NumPy float64.

    every k steps of the inner optimizer:  slow <- slow + a (fast - slow),  fast <- slow

Zhang, Lucas, Hinton & Ba, 2019, arXiv:1907.08610, algorithm 1; slow starts at the first parameters.

Ambiguous: the inner state at a sync. "keep" goes on with it; "reset" starts it anew, with Adam's
step count; "pullback" mixes it with its copy c from the last sync (0 at first):
s <- a s + (1 - a) c, c <- s. The paper speaks of the momentum of SGD; mixing both moments of Adam
while the count runs on is our reading.
"""

import numpy as np


def lookahead_sgd(gradients, start, learning_rate, *, momentum=None, **how):
    """Fast and slow parameters after each step, two arrays of shape (T, ...)."""
    mu = 0.0 if momentum is None else momentum

    def inner(g, state, t):
        b = mu * state[0] + g
        return b, [b]

    return _lookahead(inner, 1, gradients, start, learning_rate, **how)


def lookahead_adam(gradients, start, learning_rate, *, b1, b2, eps, **how):
    """Fast and slow parameters after each step, two arrays of shape (T, ...)."""

    def inner(g, state, t):
        m = b1 * state[0] + (1 - b1) * g
        v = b2 * state[1] + (1 - b2) * g**2
        return m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps), [m, v]

    return _lookahead(inner, 2, gradients, start, learning_rate, **how)


def _lookahead(inner, slots, gradients, start, learning_rate, *, every, step_size, at_sync="keep"):
    if at_sync not in ("keep", "reset", "pullback"):
        raise ValueError(f"lookahead: unknown at_sync {at_sync!r}")
    rate = np.broadcast_to(learning_rate, len(gradients))
    fast = slow = np.array(start, dtype=np.float64)
    state = cached = [np.zeros_like(fast)] * slots
    count, path = 0, []
    for t, g in enumerate(gradients, start=1):
        count += 1
        u, state = inner(g, state, count)
        fast = fast - rate[t - 1] * u
        if t % every == 0:
            fast = slow = slow + step_size * (fast - slow)
            if at_sync == "reset":
                state, count = [np.zeros_like(fast)] * slots, 0
            elif at_sync == "pullback":
                pairs = zip(state, cached, strict=True)
                state = cached = [step_size * s + (1 - step_size) * c for s, c in pairs]
        path.append((fast, slow))
    return np.stack([f for f, _ in path]), np.stack([s for _, s in path])

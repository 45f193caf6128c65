"""Muon, in NumPy float64.

    m <- mu m + (1 - mu) g;  u = (1 - mu) g + mu m (Nesterov), or u = m
    X = u / (||u||_F + eps),  then `steps` times  X <- a X + b (X X') X + c (X X')^2 X
    p <- p - rate s X - rate decay p

Jordan, Jin, Boza, You, Cesista, Newhouse & Bernstein, 2024, "Muon: An optimizer for hidden layers
in neural networks" (blog), s = sqrt(max(1, out / in)); Liu et al., 2025, arXiv:2502.16982: decay
and "rms", s = 0.2 sqrt(max(in, out)). A leaf is a kernel (..., out): the last axis is the output,
the others the input, transposed to torch. Leaves of fewer than two axes get Adam.

Ambiguous: the blog has m <- mu m + g, the same direction for an eps 1 / (1 - mu) times as large;
`bias_correction` (optax) divides g by 1 - mu^t, and m by 1 - mu^(t+1), or 1 - mu^t without
Nesterov, which turns the first steps; the authors iterate in bfloat16, here it is exact.
"""

import numpy as np

from .adam import adamw


def muon(
    gradients,
    start,
    learning_rate,
    *,
    momentum,
    nesterov,
    steps,
    coefficients,
    eps,
    scale,
    bias_correction=False,
    weight_decay=0.0,
):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    if np.ndim(start) < 2:
        adam = {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": weight_decay}
        return adamw(gradients, start, learning_rate, **adam)
    rate, p = np.broadcast_to(learning_rate, len(gradients)), np.array(start, dtype=np.float64)
    n, k, m, path = p.size // p.shape[-1], p.shape[-1], np.zeros_like(p), []
    s = {"spectral": max(1, k / n) ** 0.5, "rms": 0.2 * max(n, k) ** 0.5, "none": 1.0}[scale]
    for t, g in enumerate(gradients, start=1):
        m = momentum * m + (1 - momentum) * g
        now, ahead = (1 - momentum**t, 1 - momentum ** (t + 1)) if bias_correction else (1, 1)
        u = momentum * m / ahead + (1 - momentum) * g / now if nesterov else m / now
        x = s * _newton_schulz(u.reshape(n, k), steps, coefficients, eps)
        p = p - rate[t - 1] * (x.reshape(p.shape) + weight_decay * p)
        path.append(p)
    return np.stack(path)


def _newton_schulz(u, steps, coefficients, eps):
    if u.shape[0] > u.shape[1]:
        return _newton_schulz(u.T, steps, coefficients, eps).T
    (a, b, c), x = coefficients, u / (np.sqrt(np.sum(u**2)) + eps)
    for _ in range(steps):
        y = x @ x.T
        x = a * x + b * y @ x + c * y @ y @ x
    return x

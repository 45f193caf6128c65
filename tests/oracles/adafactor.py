"""Adafactor, in NumPy float64, for one leaf.

    b = 1 - t^-decay_rate,   s = g^2 + eps
    matrix   R <- b R + (1 - b) row means of s,   C likewise of columns,   V = R C / mean(R)
    else     V <- b V + (1 - b) s
    u = g / sqrt(V),   u <- u / max(1, RMS(u) / clipping_threshold)
    p <- p - min(rate, 1 / sqrt(t)) (max(min_scale, RMS(p)) u + decay p),   RMS(x) = sqrt(mean x^2)

Shazeer & Stern, 2018, arXiv:1804.04235, algorithms 4 and 5 with the constants of algorithm 6:
decay_rate 0.8, eps 1e-30, min_scale 1e-3, threshold 1, rate 1e-2. b is 0 at t = 1: no bias.

Ambiguous: leaves of more than two axes. Here two axes make the matrix, the largest ones and of
equal ones the later, if both have `min_dim_size_to_factor` elements; the paper writes sums and
V = R C / sum(R), which is the same. torch clamps with eps where we add it. The paper has no decay;
here it is coupled to the step min(rate, 1 / sqrt(t)), in torch to the rate.
"""

import numpy as np

rms = lambda x: np.sqrt(np.mean(x**2))  # noqa: E731


def adafactor(
    gradients,
    start,
    learning_rate,
    *,
    decay_rate,
    eps,
    min_scale,
    clipping_threshold=1.0,
    relative_step=True,
    scale_by_parameter=True,
    min_dim_size_to_factor=1,
    weight_decay=0.0,
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = np.broadcast_to(weight_decay, len(gradients))
    p = np.array(start, dtype=np.float64)
    axes = sorted(range(p.ndim), key=lambda axis: (p.shape[axis], axis))[-2:]
    factored = len(axes) == 2 and p.shape[axes[0]] >= min_dim_size_to_factor
    rows = columns = v = 0.0
    path = []
    for t, g in enumerate(gradients, start=1):
        b, s = 1 - t**-decay_rate, g**2 + eps
        if factored:
            rows = b * rows + (1 - b) * s.mean(axes[1], keepdims=True)
            columns = b * columns + (1 - b) * s.mean(axes[0], keepdims=True)
            v = rows * columns / rows.mean(axes[0], keepdims=True)
        else:
            v = b * v + (1 - b) * s
        u = g / np.sqrt(v)
        u = u / (1.0 if clipping_threshold is None else max(1.0, rms(u) / clipping_threshold))
        u = u * max(min_scale, rms(p)) if scale_by_parameter else u
        rho = min(rate[t - 1], 1 / np.sqrt(t)) if relative_step else rate[t - 1]
        p = p - rho * (u + decay[t - 1] * p)
        path.append(p)
    return np.stack(path)

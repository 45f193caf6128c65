"""DoG, distance over gradients, in NumPy float64.

    r <- max(r, ||p - p0||),  G <- G + ||g||^2,  step = rate r / sqrt(G + eps)
    p <- p - step (g + decay p)
    average <- (1 - 9 / (t + 8)) average + 9 / (t + 8) p

with r = initial_distance (1 + ||p0||) at first. Ivgi, Hinder & Carmon, 2023, arXiv:2302.12022, and
the authors' code (initial_distance 1e-6, or 1e-4 with batch normalization). The average is Shamir &
Zhang's, 2013, of the parameters after each step; the first of them counts whole. The vector stands
for the whole tree: both norms run over all of it.

Ambiguous: the decay. The authors and optax add it to the gradient, and so to G; here it is
decoupled and multiplied by the step, as AdamW's is in the libraries. r is of p before the step.
"""

import numpy as np


def dog(gradients, start, learning_rate, *, initial_distance, eps, weight_decay=0.0):
    """Parameters and their averages after each step, two arrays of shape (T, n)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    p = p0 = average = np.array(start, dtype=np.float64)
    r, total = initial_distance * (1 + np.sqrt(np.sum(p0**2))), 0.0
    path, averages = [], []
    for t, g in enumerate(gradients, start=1):
        r = max(r, np.sqrt(np.sum((p - p0) ** 2)))
        total = total + np.sum(g**2)
        step = rate[t - 1] * r / np.sqrt(total + eps)
        p = p - step * (g + weight_decay * p)
        average = (1 - 9 / (t + 8)) * average + 9 / (t + 8) * p
        path.append(p)
        averages.append(average)
    return np.stack(path), np.stack(averages)

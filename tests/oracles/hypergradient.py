"""Hypergradient descent over SGD and over Adam, in NumPy float64.

Baydin, Cornish, Rubio, Schmidt & Wood, 2018, arXiv:1703.04782, algorithms 4 (SGD-HD) and 6
(Adam-HD): with grad_u the derivative of the last update u in alpha, 0 at first,

    h = g . grad_u,  alpha <- alpha - step_size h                   additive
    alpha <- alpha (1 - step_size h / (|g| |grad_u|))               multiplicative
    u = -alpha d,  grad_u = -d,  theta <- theta + u

Ambiguous: the paper has no bound on alpha; ours is never below 0. The gradients are given, of shape
(T, n), and the inner product is over all n.
"""

import numpy as np


def sgd_hd(gradients, start, learning_rate, *, step_size, mode="additive"):
    """Parameters and rates after each step, of shapes (T, n) and (T,)."""
    return _descended(gradients, start, learning_rate, step_size, mode, lambda g, t: g)


def adam_hd(gradients, start, learning_rate, *, step_size, b1, b2, eps, mode="additive"):
    """Parameters and rates after each step, of shapes (T, n) and (T,)."""
    m = v = np.zeros(np.shape(start))

    def direction(g, t):
        nonlocal m, v
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        return (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)

    return _descended(gradients, start, learning_rate, step_size, mode, direction)


def _descended(gradients, start, alpha, step_size, mode, direction):
    theta = np.array(start, dtype=np.float64)
    grad_u = np.zeros_like(theta)
    path, rates = [], []
    for t, g in enumerate(gradients, start=1):
        h = np.dot(g, grad_u)
        if mode == "additive":
            alpha = alpha - step_size * h
        elif h != 0:
            alpha = alpha * (1 - step_size * h / (np.linalg.norm(g) * np.linalg.norm(grad_u)))
        alpha = max(alpha, 0.0)
        d = direction(g, t)
        grad_u = -d
        theta = theta - alpha * d
        path.append(theta)
        rates.append(alpha)
    return np.stack(path), np.array(rates)

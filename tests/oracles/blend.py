"""Blends of several updates and the rules that learn their weights, in NumPy float64.

Mixture: v_i = u_i n / n_i with n = sum_i w_i n_i, u = sum_i w_i v_i; norms over everything.
Hedge: AdaHedge, de Rooij, van Erven, Grunwald & Koolen, 2014, arXiv:1301.0534, sections 2 and 2.2:

    eta = ln(K) / gap, inf while gap is 0        w_i ~ prior_i exp(-eta L_i)
    h = w . l, m = -ln(w . exp(-eta l)) / eta    gap <- gap + h - m, L <- L + l

Projection on the simplex: Held, Wolfe & Crowder, 1974, Mathematical Programming 6, by bisection
here, where ours sorts. Ambiguous: at eta = inf the weights are the prior's on the least L, and m is
how much the least L among these has grown.
"""

import math

import numpy as np


def mixed(updates, weights, normalize=True):
    """The mixture and the members' v, from updates of shape (members, n)."""
    lengths = [math.sqrt(sum(x * x for x in u)) for u in updates]
    mean = sum(w * n for w, n in zip(weights, lengths, strict=True))
    steps = []
    for u, n in zip(updates, lengths, strict=True):
        factor = 1.0 if not normalize else mean / n if n > 0 else 0.0
        steps.append([x * factor for x in u])
    whole = [
        sum(w * step[j] for w, step in zip(weights, steps, strict=True))
        for j in range(len(updates[0]))
    ]
    return np.array(whole), np.array(steps)


def judged(gradient, steps):
    """Each member's loss: the product with its last step over its largest possible value."""
    longest = max(math.sqrt(sum(x * x for x in step)) for step in steps)
    size = math.sqrt(sum(x * x for x in gradient))
    if longest == 0 or size == 0:
        return np.zeros(len(steps))
    products = [sum(a * b for a, b in zip(gradient, step, strict=True)) for step in steps]
    return np.array(products) / (longest * size)


def adahedge(losses, prior):
    """The weights after each round, shape (T, K), from losses of that shape."""
    total, gap = np.zeros(len(prior)), 0.0
    found = []
    weights = _weights(total, prior, gap)
    for loss in losses:
        mean = float(np.dot(weights, loss))
        if gap == 0:
            old = min(x for x, w in zip(total, prior, strict=True) if w > 0)
            new = min(x for x, w in zip(total + loss, prior, strict=True) if w > 0)
            mixture = new - old
        else:
            eta = math.log(len(prior)) / gap
            mixture = -math.log(float(np.dot(weights, np.exp(-eta * loss)))) / eta
        gap += max(mean - mixture, 0.0)
        total = total + loss
        weights = _weights(total, prior, gap)
        found.append(weights)
    return np.array(found)


def _weights(total, prior, gap):
    ahead = total - min(x for x, w in zip(total, prior, strict=True) if w > 0)
    if gap == 0:
        raw = np.where(ahead <= 0, prior, 0.0)
    else:
        raw = np.array(prior) * np.exp(-math.log(len(prior)) / gap * ahead)
    return raw / raw.sum()


def projected(point):
    """The nearest point of the simplex: the shift at which what stays above 0 sums to 1."""
    low, high = min(point) - 1.0, max(point)
    for _ in range(200):
        middle = (low + high) / 2
        if sum(max(x - middle, 0.0) for x in point) > 1:
            low = middle
        else:
            high = middle
    return np.array([max(x - low, 0.0) for x in point])

"""Blends of several updates and the rules that learn their weights, in NumPy float64.

Mixture: v_i = u_i n / n_i with n = sum_i w_i n_i, u = sum_i w_i v_i; norms over everything.
Hedge: AdaHedge, de Rooij, van Erven, Grunwald & Koolen, 2014, arXiv:1301.0534, sections 2 and 2.2:

    eta = ln(K) / gap                            w_i ~ prior_i exp(-eta L_i)
    h = w . l, m = -ln(w . exp(-eta l)) / eta    gap <- gap + h - m, L <- L + l

Projection on the simplex: Held, Wolfe & Crowder, 1974, Mathematical Programming 6, by bisection
here, where ours sorts. Departure: the gap starts at 0.1 and not at 0, where eta is infinite.
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
    size = math.sqrt(sum(x * x for x in gradient)) or 1.0
    if longest == 0:
        return np.zeros(len(steps))
    losses = []
    for step in steps:
        product = sum(a * b for a, b in zip(gradient, step, strict=True))
        losses.append(product / (longest * size) if any(step) else 1.0)
    return np.array(losses)


def adahedge(losses, prior, gap=0.1):
    """The weights after each round, shape (T, K), from losses of that shape."""
    total, weights, found = np.zeros(len(prior)), np.array(prior), []
    for loss in losses:
        eta = math.log(len(prior)) / gap
        mixture = (
            -math.log(sum(w * math.exp(-eta * x) for w, x in zip(weights, loss, strict=True))) / eta
        )
        gap += max(sum(w * x for w, x in zip(weights, loss, strict=True)) - mixture, 0.0)
        total = total + loss
        eta = math.log(len(prior)) / gap
        raw = [w * math.exp(-eta * (x - min(total))) for w, x in zip(prior, total, strict=True)]
        weights = np.array(raw) / sum(raw)
        found.append(weights)
    return np.array(found)


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

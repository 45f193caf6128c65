"""Gradients to ask the oracles with: noise, rotations, and fields that a rule walks in."""

import numpy as np


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def rotation(size, seed):
    return np.linalg.qr(noise(size, size, seed=seed))[0]


def descend(oracle, gradient, start, count, rate, **arguments):
    """The path of a rule in a field of gradients, replayed for every step, and the gradients."""
    gradients, path = [], [start]
    for _ in range(count):
        gradients.append(gradient(path[-1]))
        found = oracle(np.array(gradients), start, rate, **arguments)
        path.append((found[0] if isinstance(found, tuple) else found)[-1])
    return np.array(path[1:]), np.array(gradients)

"""AdaGrad with a diagonal matrix, in NumPy float64.

    G <- G + g^2        p <- p - rate g / (sqrt(G) + eps)

Duchi, Hazan & Singer, 2011 (JMLR 12). The paper's delta stands outside the root and G starts at 0;
it names no value for delta.

Ambiguous: eps outside the root (the paper, torch) or inside it (Keras, optax), and the start of G
(0 in the paper and torch, 0.1 in Keras and optax).
"""

import numpy as np


def adagrad(
    gradients,
    start,
    learning_rate,
    *,
    eps,
    initial_accumulator_value=0.0,
    eps_placement="outside",
):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    rate = np.broadcast_to(learning_rate, len(gradients))
    p = np.array(start, dtype=np.float64)
    total = np.full_like(p, initial_accumulator_value)
    path = []
    for t, g in enumerate(gradients):
        total = total + g**2
        if eps_placement == "outside":
            d = np.sqrt(total) + eps
        elif eps_placement == "inside":
            d = np.sqrt(total + eps)
        else:
            raise ValueError(f"adagrad: unknown eps_placement {eps_placement!r}")
        p = p - rate[t] * g / d
        path.append(p)
    return np.stack(path)

"""The simple gradient noise scale of McCandlish et al., in NumPy float64.

McCandlish, Kaplan, Amodei & the OpenAI Dota team, 2018, arXiv:1812.06162, appendix A.1, from the
squared norms of mean gradients over B_small and B_big examples:

    G2 = (B_big |G_big|^2 - B_small |G_small|^2) / (B_big - B_small)
    S  = (|G_small|^2 - |G_big|^2) / (1 / B_small - 1 / B_big)

Here B_small is a micro-batch, of whose squared norms the mean is taken, and B_big all of them. It
is not the library's formula, which takes deviations from the mean, but equal to it.
"""

import numpy as np


def noise_scale(micro_grads, batch_size):
    """S / G2, S and G2, from gradients of shape (micro-batches, parameters)."""
    total, squares = np.zeros(micro_grads.shape[1]), 0.0
    for g in micro_grads:
        total = total + g
        squares += np.sum(g**2)
    n = len(micro_grads)
    small, big = squares / n, np.sum((total / n) ** 2)
    b_small, b_big = batch_size, n * batch_size
    signal = (b_big * big - b_small * small) / (b_big - b_small)
    trace = (small - big) / (1 / b_small - 1 / b_big)
    return trace / signal, trace, signal

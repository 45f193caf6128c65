"""The gradients that Grokfast's filter makes of gradients, in NumPy float64.

    m <- decay m + (1 - decay) g,  g' = direct g + amplification m

Lee, Kang, Kim & Lee, 2024, arXiv:2405.20233, Grokfast-EMA: decay 0.98, amplification 2, direct 1.

Ambiguous: the start of m. It is 0 here; the authors' program starts with the first gradient. With
bias correction m / (1 - decay^t) takes the place of m.
"""

import numpy as np


def smoothed(gradients, *, decay, amplification, direct=1.0, bias_correction=False):
    """Filtered gradients, shape (T, ...), of given ones of shape (T, ...)."""
    m, found = np.zeros_like(gradients[0], dtype=np.float64), []
    for t, g in enumerate(gradients, start=1):
        m = decay * m + (1 - decay) * g
        average = m / (1 - decay**t) if bias_correction else m
        found.append(direct * g + amplification * average)
    return np.stack(found)

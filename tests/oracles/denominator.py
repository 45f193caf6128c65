"""The three places where implementations of Adam put eps.

    outside       sqrt(c v + eps_root) + eps    Kingma & Ba, algorithm 1; torch, optax
    inside        sqrt(c v + eps)
    uncorrected   sqrt(c) (sqrt(v) + eps)       Kingma & Ba, end of section 2 ("epsilon hat");
                                                Keras, torch's RAdam

where c = 1 / (1 - b2^t) corrects the bias. The three agree for eps = 0.
"""

import numpy as np


def denominator(v, c, *, eps, eps_placement="outside", eps_root=0.0):
    """What the corrected first moment is divided by, for the raw second moment v."""
    if eps_root and eps_placement != "outside":
        raise ValueError("eps_root has a meaning for eps_placement='outside' only")
    if eps_placement == "outside":
        return np.sqrt(c * v + eps_root) + eps
    if eps_placement == "inside":
        return np.sqrt(c * v + eps)
    if eps_placement == "uncorrected":
        return np.sqrt(c) * (np.sqrt(v) + eps)
    raise ValueError(f"unknown eps_placement {eps_placement!r}")

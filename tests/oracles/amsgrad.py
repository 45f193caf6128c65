"""AMSGrad, in NumPy float64.

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   w <- max(w, v)
    p <- p - rate m / (sqrt(w) + eps) - rate decay p

Reddi, Kale & Kumar, 2018, "On the Convergence of Adam and Beyond" (ICLR), algorithm 2, also
arXiv:1904.09237. The paper corrects no bias, projects onto the feasible set (left out here) and
has no eps.

Ambiguous: what happens to Adam's correction of the bias. "none" is the paper's; "after" takes the
maximum of the raw v and corrects it at the step (torch; Keras with eps "uncorrected"); "before"
takes the maximum of v / (1 - b2^t), where one large first gradient counts for ever in full (optax).
"""

import numpy as np

from .denominator import denominator


def amsgrad(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    eps,
    bias_correction="none",
    eps_placement="outside",
    weight_decay=0.0,
):
    """Parameters after each step, shape (T, ...); `weight_decay` is a number or T numbers."""
    if bias_correction not in ("none", "before", "after"):
        raise ValueError(f"amsgrad: unknown bias_correction {bias_correction!r}")
    rate = np.broadcast_to(learning_rate, len(gradients))
    decay = rate * weight_decay
    p = np.array(start, dtype=np.float64)
    m, v, largest = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    path = []
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        c1, c2 = 1 - b1**t, 1 - b2**t
        largest = np.maximum(largest, v / c2 if bias_correction == "before" else v)
        mh = m if bias_correction == "none" else m / c1
        c = 1 / c2 if bias_correction == "after" else 1.0
        u = mh / denominator(largest, c, eps=eps, eps_placement=eps_placement)
        p = p - rate[t - 1] * u - decay[t - 1] * p
        path.append(p)
    return np.stack(path)

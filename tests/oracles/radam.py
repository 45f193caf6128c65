"""RAdam, in NumPy float64.

    m, v, mh, vh as in Adam;  rho_inf = 2 / (1 - b2) - 1,  rho = rho_inf - 2 t b2^t / (1 - b2^t)
    r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))
    p <- p - rate r mh / (sqrt(vh) + eps)   where rho > threshold
    p <- p - rate mh                        before that

Liu, Jiang, He, Chen, Liu, Gao & Han, 2020, arXiv:1908.03265, algorithm 2: threshold 4, no eps.

Ambiguous: the threshold (4 in the paper; torch and optax 5, as the authors' code, which is the same
as 4 but for one step at b2 = 0.999); what happens before it ("momentum" in the paper, torch and
optax; "skip" by default in the authors' code); where eps stands ("uncorrected" in torch and the
authors' code, "outside" in optax); rho >= threshold in optax, which differs on a set of measure 0.
"""

import numpy as np

from .denominator import denominator


def radam(
    gradients,
    start,
    learning_rate,
    *,
    b1,
    b2,
    eps,
    threshold=4.0,
    before_rectification="momentum",
    eps_placement="outside",
):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    if before_rectification not in ("momentum", "skip"):
        raise ValueError(f"radam: unknown before_rectification {before_rectification!r}")
    rate = np.broadcast_to(learning_rate, len(gradients))
    p = np.array(start, dtype=np.float64)
    m, v = np.zeros_like(p), np.zeros_like(p)
    limit = 2 / (1 - b2) - 1
    path = []
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        mh, c = m / (1 - b1**t), 1 / (1 - b2**t)
        rho = limit - 2 * t * b2**t * c
        if rho > threshold:
            r = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)
            u = np.sqrt(r) * mh / denominator(v, c, eps=eps, eps_placement=eps_placement)
        else:
            u = mh if before_rectification == "momentum" else 0 * mh
        p = p - rate[t - 1] * u
        path.append(p)
    return np.stack(path)

"""SOAP, in NumPy float64.

    first step   L = (1 - bs) g g',  R = (1 - bs) g' g,  Q, S = their eigenvectors; p stays
    then         m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) (Q' g S)^2
                 u = sqrt(1 - b2^k) / (1 - b1^k) Q [Q' m S / (sqrt(v) + eps)] S'
                 p <- p - rate u - rate decay p
                 L <- bs L + (1 - bs) g g',  R <- bs R + (1 - bs) g' g
    every f-th   Q <- the Q of the QR decomposition of L Q, its columns first sorted by
                 diag(Q' L Q), largest first, and v's rows alike; S from R, v's columns alike

with k = t - 1, the number of moves. Vyas et al., 2024, arXiv:2409.11321, and the authors' code; bs
is `shampoo_decay`, or b2. A leaf (..., out) is one matrix, as in muon.py, or the blocks into which
`block_size` cuts it, each with its own L and R. Sides above `max_size` keep their coordinates, and
so do leaves of fewer than two axes: Adam from the second step on, the first gradient unused. The
first step does not decay either.

Ambiguous: eps stands beside the raw root; the authors decay after the move, and give each of more
than two axes its basis. p does not depend on signs and order of the eigenvectors, but on their
choice for a repeated eigenvalue, as where a first gradient's rank is 2 or more below a side.
"""

import numpy as np


def soap(gradients, start, learning_rate, *, block_size=None, max_size=10000, **how):
    """Parameters after each step, shape (T, ...), for given gradients of shape (T, ...)."""
    rate, p = np.broadcast_to(learning_rate, len(gradients)), np.array(start, dtype=np.float64)
    n, k = (p.size // p.shape[-1], p.shape[-1]) if p.ndim > 1 else (p.size, 1)
    gs, path, size = np.reshape(gradients, (-1, n, k)), np.zeros((len(rate), n, k)), block_size
    for i in range(0, n, size or n):
        for j in range(0, k, size or k):
            block = slice(i, i + (size or n)), slice(j, j + (size or k))
            limit = max_size if p.ndim > 1 else 0
            path[:, *block] = _soap(gs[:, *block], p.reshape(n, k)[block], rate, limit, **how)
    return path.reshape(-1, *p.shape)


def _soap(gradients, p, rate, limit, *, b1, b2, eps, every, shampoo_decay=None, weight_decay=0.0):
    bs, sides, m, v = b2 if shampoo_decay is None else shampoo_decay, p.shape, 0 * p, 0 * p
    grams, bases, path = [np.zeros((n, n)) for n in sides], [np.eye(n) for n in sides], []
    for k, g in enumerate(gradients):
        if k > 0:
            q, s = bases
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * (q.T @ g @ s) ** 2
            u = q @ (q.T @ m @ s / (np.sqrt(v) + eps)) @ s.T
            p = p - rate[k] * (np.sqrt(1 - b2**k) / (1 - b1**k) * u + weight_decay * p)
        path.append(p)
        for i, product in enumerate((g @ g.T, g.T @ g)):
            grams[i] = bs * grams[i] + (1 - bs) * product
            if sides[i] <= limit and k == 0:
                bases[i] = np.linalg.eigh(grams[i])[1][:, ::-1]
            elif sides[i] <= limit and k % every == 0:
                order = np.argsort(-np.diag(bases[i].T @ grams[i] @ bases[i]))
                bases[i], v = np.linalg.qr(grams[i] @ bases[i][:, order])[0], np.take(v, order, i)
    return np.stack(path)

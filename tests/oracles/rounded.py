"""Narrow parameters that learn, one element at a time in plain numbers.

    "master"      m <- m + u,            p = nearest(m);  m = p first, where p is not nearest(m)
    "kahan"       s = c + u,             p' = nearest(p + s),  c <- chance(s - (p' - p))
    "stochastic"  p' = chance(p + u)

u is the inner optimizer's update. `chance` goes up by the share of the way that is left: by bits of
given chance, where a share of 2^-k and more counts; c is kept in bfloat16 and starts at 0.

Kahan, 1965, Communications of the ACM 8(1), p. 40; Gupta, Agrawal, Gopalakrishnan & Narayanan,
2015, arXiv:1502.02551; both in Zamirai, Zhang, Aberger & De Sa, 2020, arXiv:2010.06192;
Micikevicius et al., 2017, arXiv:1710.03740, for the master copy. Sums are of float32, as the papers
have them in hardware.

Ambiguous: what is beyond the largest number, here that number, and nothing is kept of it; what the
bits of chance are.
"""

import math

import numpy as np

FORMATS = {  # bits after the point, exponent under which steps are even, largest number, chance
    "bfloat16": (7, -126, (2 - 2.0**-7) * 2.0**127, 16),
    "float16": (10, -14, 65504.0, 13),
}


def rounded(mode, updates, start, bits, *, dtype):
    """Parameters after each step, and what is kept beside them; as updates and bits, (T, n)."""
    path, kept = np.zeros((2, *np.shape(updates)))
    for i, first in enumerate(start):
        p, extra = float(first), float(first) if mode == "master" else 0.0
        for t, u in enumerate(updates[:, i]):
            if mode == "stochastic":
                p = by_chance(add(p, u), int(bits[t, i]), dtype)
            elif mode == "master":
                extra = add(p if nearest(extra, dtype) != p else extra, u)
                p = nearest(extra, dtype)
            else:
                s = add(extra, u)
                new = nearest(add(p, s), dtype)
                left = add(s, p - new) if abs(add(p, s)) < FORMATS[dtype][2] else 0.0
                extra = by_chance(left, int(bits[t, i]), "bfloat16")
                p = new
            path[t, i], kept[t, i] = p, extra
    return path, kept


def add(x, y):
    """The sum in float32, at most its largest number."""
    largest = float(np.finfo(np.float32).max)
    return float(np.float32(min(max(float(x) + float(y), -largest), largest)))


def nearest(x, dtype):
    """The number of dtype nearest to x, the even one of two."""
    step, largest, _ = _grid(x, dtype)
    return math.copysign(min(round(abs(x) / step) * step, largest), x)


def by_chance(x, bits, dtype):
    """X up where its share of a step, and the bits as another, make a whole step; else down."""
    step, largest, chance = _grid(x, dtype)
    whole = math.floor(abs(x) / step)
    share = round((abs(x) / step - whole) * 2**chance)
    up = share + (bits >> (32 - chance)) >= 2**chance
    return math.copysign(min((whole + up) * step, largest), x)


def _grid(x, dtype):
    after, lowest, largest, chance = FORMATS[dtype]
    exponent = max(math.frexp(x)[1] - 1, lowest)
    return 2.0 ** (exponent - after), largest, chance

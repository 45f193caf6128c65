"""The numbers that 8-bit and 4-bit codes stand for, one at a time in plain numbers.

    value(code) = 2^lowest (2^n (1 + t) - 1)        code / levels = n + t, 0 <= t < 1
    value(code) = 2 (code / 127)^2                  of int8's lone moments

Rounding by chance goes to one of the two neighbours of x, to the upper with the share of the way
from the lower that x is at; what is above the largest becomes that.
"""

import bisect
import math


def values(levels, lowest, codes):
    """The numbers of a grid, the smallest first."""
    found = []
    for code in range(codes):
        n, part = divmod(code, levels)
        found.append(2.0**lowest * (2.0**n * (1 + part / levels) - 1))
    return found


PAIR_SQUARES = values(levels=7, lowest=-53, codes=512)
PAIR_MEAN = values(levels=11, lowest=-3, codes=64)
INT8 = {
    "signed": values(levels=11, lowest=-11, codes=128),
    "lone": [2 * (code / 127) ** 2 for code in range(128)],
    "non_negative": values(levels=11, lowest=-23, codes=256),
}
INT4 = {
    "signed": values(levels=1, lowest=-6, codes=8),
    "non_negative": values(levels=1, lowest=-14, codes=16),
}

EVEN_BELOW = {"int8": 2.0**-23, "int4": 2.0**-14}  # of what is not negative, over its block's power


def neighbours(x, grid):
    """The numbers of a grid next to x >= 0: the same twice where x is one of them, or above all."""
    if x >= grid[-1]:
        return grid[-1], grid[-1]
    upper = bisect.bisect_left(grid, x)
    return (grid[upper], grid[upper]) if grid[upper] == x else (grid[upper - 1], grid[upper])


def power_below(x):
    """The largest power of two that is not above x > 0."""
    return 2.0 ** math.floor(math.log2(x))


def block_power(block, largest):
    """The power of two of a block: its largest over it lies between largest / 2 and largest."""
    top = max(abs(x) for x in block)
    return power_below(top / largest * (2 - 2.0**-20)) if top else 0.0

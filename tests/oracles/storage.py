"""The numbers that 8-bit and 4-bit codes stand for, one at a time in plain numbers.

    value(code) = 2^lowest (2^n (1 + t) - 1)        code / levels = n + t, 0 <= t < 1

Rounding by chance goes to one of the two neighbours of x, to the upper with the share of the way
from the lower that x is at; what is above the largest becomes that.
"""

import bisect
import math

PAIR_SQUARES = (7, -53, 512)  # levels, lowest, codes
PAIR_MEAN = (11, -3, 64)
INT8 = {"signed": (11, -11, 128), "non_negative": (11, -23, 256)}
INT4 = {"signed": (1, -6, 8), "non_negative": (1, -14, 16)}


def values(levels, lowest, codes):
    """The numbers of a grid, the smallest first."""
    found = []
    for code in range(codes):
        n, part = divmod(code, levels)
        found.append(2.0**lowest * (2.0**n * (1 + part / levels) - 1))
    return found


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

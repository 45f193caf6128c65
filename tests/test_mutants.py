"""The mutation gate: every known wrong variant is caught, and the library itself passes.

Every tenth of each runs at once, the others with the slow tests.
"""

import numpy as np
import pytest
from catalogue import every
from mutants import CHECKS, MUTANTS, altered, check_of


@pytest.mark.parametrize("check", every(10, CHECKS))
def test_an_unaltered_copy_passes(check):
    with altered() as library:
        check_of(check)(library)


@pytest.mark.parametrize("mutant", every(10, MUTANTS), ids=lambda m: f"{m.file}: {m.fault}")
def test_mutant_is_caught(mutant):
    with (
        altered(mutant.file, mutant.old, mutant.new) as library,
        np.errstate(all="ignore"),
        pytest.raises(AssertionError),
    ):
        check_of(mutant.check)(library)

"""`suggested_range`: which learning rates to try in fine-tuning, given those of pre-training.

    from peak / 32 to 3.2 peak        a decade and a half below the peak, half a decade above

A rule of thumb and no more, for the same optimizer and about the same batch size. Large models
were fine-tuned in its lower part, with Adam before and after: BERT at 1/5 to 1/2 of the peak
(Devlin et al., 2018, arXiv:1810.04805), ELECTRA-Base at 1/2 (Clark et al., 2020,
arXiv:2003.10555), RoBERTa-Base at 1/60 to 1/20 (Liu et al., 2019, arXiv:1907.11692). Small models
whose pre-training is of little use lie in its upper part, or above: the upper end was set with
`benchmarks/fine_tuning.py` in view, so that what this prints of the range illustrates the rule and
does not test it. A new head alone, and small decays of `layerwise_decay`, bear
higher rates still.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from adaptive_optax.core.checks import check_positive

LOWEST, HIGHEST = 10**-1.5, 10**0.5  # of the peak


class RateRange(NamedTuple):
    """Learning rates to try, best by equal factors."""

    low: float
    high: float


def suggested_range(pretraining: float | Iterable[Any]) -> RateRange:
    """The lowest and the highest learning rate to try in fine-tuning.

    Args:
      pretraining: the peak learning rate of pre-training, above 0; or its rates, an array or a
        list; or what has them under "learning_rate": a log, the metrics that `jax.lax.scan` has
        stacked, or a record a step. Of many rates the largest finite one counts.

    Raises:
      TypeError: for what holds something else than numbers.
      ValueError: for a peak that is not finite and above 0, or where there is no rate.

    >>> low, high = suggested_range([{"learning_rate": 1e-4}, {"learning_rate": 1e-3}, {"loss": 1}])
    >>> round(low, 6), round(high, 6)
    (3.2e-05, 0.003162)
    >>> suggested_range({"learning_rate": [1e-4, 1e-3, 0.0], "loss": [3, 2, 1]}) == (low, high)
    True
    """
    found = list(_rates(pretraining))
    if not found:
        raise ValueError(
            f"suggested_range(pretraining={type(pretraining).__name__}): it holds no "
            f"'learning_rate'; give the peak rate of pre-training as a number."
        )
    peak = max(filter(math.isfinite, found), default=found[0])
    check_positive("suggested_range", pretraining=peak)
    return RateRange(LOWEST * peak, HIGHEST * peak)


def _rates(held: Any) -> Iterator[float]:
    """All rates that are held, however deep; of a mapping those under "learning_rate"."""
    if isinstance(held, Mapping):
        if "learning_rate" in held:
            yield from _rates(held["learning_rate"])
    elif hasattr(held, "dtype") and jnp.issubdtype(held.dtype, jnp.number):
        yield from np.asarray(held, np.float64).ravel().tolist()
    elif isinstance(held, int | float) and not isinstance(held, bool):
        yield float(held)
    elif hasattr(held, "steps") and hasattr(held, "values"):  # of a log; its steps are no rates
        yield from _rates(held.values)
    elif isinstance(held, Iterable) and not isinstance(held, str) and not hasattr(held, "dtype"):
        for each in held:
            yield from _rates(each)
    else:
        raise TypeError(
            f"suggested_range(pretraining={held!r}): pretraining must be a number, an array or "
            f"list of rates, or records with a 'learning_rate'."
        )

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

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from adaptive_optax.core.checks import check_positive

LOWEST, HIGHEST = 10**-1.5, 10**0.5  # of the peak


class RateRange(NamedTuple):
    """Learning rates to try, best by equal factors."""

    low: float
    high: float


def suggested_range(pretraining: float | Iterable[Mapping[str, Any]]) -> RateRange:
    """The lowest and the highest learning rate to try in fine-tuning.

    Args:
      pretraining: the peak learning rate of pre-training, above 0; or its records, such as
        metrics of its steps, of which the largest "learning_rate" counts.

    Raises:
      ValueError: for a peak that is not above 0, or records without a learning rate.

    >>> low, high = suggested_range([{"learning_rate": 1e-4}, {"learning_rate": 1e-3}, {"loss": 1}])
    >>> round(low, 6), round(high, 6)
    (3.2e-05, 0.003162)
    """
    if isinstance(pretraining, Iterable) and not hasattr(pretraining, "dtype"):
        rates = [float(row["learning_rate"]) for row in pretraining if "learning_rate" in row]
        if not rates:
            raise ValueError(
                "suggested_range(pretraining=...): no record has a 'learning_rate'; give the peak "
                "rate of pre-training as a number."
            )
        return suggested_range(max(rates))
    check_positive("suggested_range", pretraining=pretraining)
    peak = float(pretraining)  # type: ignore[arg-type]
    return RateRange(LOWEST * peak, HIGHEST * peak)

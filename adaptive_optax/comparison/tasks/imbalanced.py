"""The tasks `imbalanced` and `imbalanced_weighted`: is a digit an 8, where 8s are rare in training.

The 8s of the training examples are thinned to 3 %; validation and test keep theirs, which
are too few otherwise to judge by. The metric is the balanced accuracy, the mean of the shares that
are right among the 8s and among the others: 0.5 for a model that never says 8. It is a mean over
examples, each right one counting by its class's size in its own split, so that it is exact.
`imbalanced_weighted` trains on losses weighed by `hard_example_weights`, and is judged alike.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adaptive_optax as ao
from adaptive_optax.comparison.tasks import digits
from adaptive_optax.comparison.tasks.models import MLP
from adaptive_optax.comparison.tasks.splits import stratified
from adaptive_optax.comparison.tasks.task import Split, Task

SHARES = (0.5, 0.25, 0.25)  # training before thinning, validation, test
RARE = 8
THINNED = 0.03  # share of 8s in training
CENTRES = {
    "sgd": 1.0,
    "momentum": 0.1,
    "nesterov": 0.1,
    "adagrad": 0.3,
    "rmsprop": 0.03,
    "adadelta": 3.0,
    "adam": 0.03,
    "adamw": 0.03,
    "nadam": 0.03,
    "radam": 0.1,
    "lion": 3e-3,
}


def imbalanced() -> Task:
    """All training examples weigh alike."""
    return _task("imbalanced", None, CENTRES)


def imbalanced_weighted() -> Task:
    """Every training batch weighed anew, by losses and rarity."""

    def weigh(losses, targets):
        return ao.hard_example_weights(losses, mode="importance", rare=targets["rare"] > 0.5)

    centres = {name: rate / 10 for name, rate in CENTRES.items()}  # a rare example counts so much
    return _task("imbalanced_weighted", weigh, centres)


def _task(
    name: str, weigh: Callable[[jax.Array, Any], jax.Array] | None, centres: dict[str, float]
) -> Task:
    pictures, labels = digits.read()
    flat, rare = pictures.reshape(len(pictures), -1), labels == RARE
    train, validation, test = stratified(labels, SHARES)
    model = MLP((32, 1))
    start = jax.jit(lambda seed: model.init(jax.random.key(seed), flat[:1]))

    def apply(params, inputs):
        return jnp.squeeze(jnp.asarray(model.apply(params, inputs)), 1)

    return Task(
        name,
        init=start,
        apply=apply,
        loss=lambda logits, targets: optax.sigmoid_binary_cross_entropy(logits, targets["rare"]),
        metric=lambda logits, targets: ((logits > 0) == (targets["rare"] > 0.5)) * targets["count"],
        train=_split(flat, rare, _thinned(train, rare)),
        validation=_split(flat, rare, validation),
        test=_split(flat, rare, test),
        weigh=weigh,
        batch_size=32,
        epochs=25,
        seeds=3,
        target=0.8,
        metric_name="balanced accuracy",
        centres=centres,
        evaluate_every=13,
    )


def _thinned(rows: np.ndarray, rare: np.ndarray) -> np.ndarray:
    """The rows, in their order, without most of the rare ones: the first are kept."""
    others = np.count_nonzero(~rare[rows])
    kept = round(others * THINNED / (1 - THINNED))
    return rows[~rare[rows] | (np.cumsum(rare[rows]) <= kept)]


def _split(flat: np.ndarray, rare: np.ndarray, rows: np.ndarray) -> Split:
    """Examples with `rare`, 1 or 0, and `count`: what a right answer adds to the metric."""
    is_rare = rare[rows]
    share = np.where(is_rare, is_rare.mean(), 1 - is_rare.mean())
    targets = {"rare": is_rare.astype(np.float32), "count": (0.5 / share).astype(np.float32)}
    return Split(flat[rows], targets)

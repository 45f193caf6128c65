"""Weights that show an optimizer the hard examples of a batch, and the rare ones.

"hardest", online hard example mining (Shrivastava, Gupta & Girshick, 2016, arXiv:1604.03540):
    the k = keep n examples of largest loss
"hard_negatives", as in SSD (Liu et al., 2016, arXiv:1512.02325):
    all rare examples, and of the others the ratio r of largest loss, r the number of rare ones
"importance", as the focal loss (Lin et al., 2017, arXiv:1708.02002), by the loss itself:
    w = loss^power e
with e of class balance (Cui, Jia, Lin, Song & Belongie, 2019, arXiv:1901.05555), for an example of
a class of which the batch has c:
    e = (1 - balance) / (1 - balance^c)        1 at balance 0, and 1 / c at 1

Chosen examples weigh the same. All weights are so scaled that their mean over the examples that
count is 1: the learning rate keeps its meaning.
Departures: "hardest" suppresses no overlapping boxes. In the focal loss it is a power of 1 - p,
which is about the loss where p is near 1. The c of class balance are of the training set; these
are of the batch.
"""

from typing import Any

import jax
import jax.numpy as jnp

from adaptive_optax.core.arrays import divided_by_largest, log, widest, working_dtype
from adaptive_optax.core.checks import (
    check_choice,
    check_non_negative,
    check_positive,
    check_range,
)
from adaptive_optax.core.types import Scalar

MODES = ("hardest", "hard_negatives", "importance")


def hard_example_weights(
    losses: jax.Array,
    *,
    mode: str = "hardest",
    keep: Scalar = 0.25,
    rare: jax.Array | None = None,
    ratio: Scalar = 3.0,
    power: Scalar = 1.0,
    balance: Scalar = 1.0,
    mask: jax.Array | None = None,
) -> jax.Array:
    """A weight for each example's loss, of mean 1 over the examples that count.

    The loss to take the gradient of is, with an example left out whose loss is not finite:

        weights = hard_example_weights(losses)
        kept = jnp.where(weights > 0, weights * losses, 0.0)
        loss = jnp.sum(kept) / jnp.maximum(jnp.sum(weights), 1.0)

    Args:
      losses: one number an example, of any shape, before their mean. Those that are nan or inf do
        not count: their weight is 0. For a choice within each image of a batch use `jax.vmap`.
      mode: "hardest", "hard_negatives" or "importance"; the module's docstring has the formulas.
      keep: share of the examples that "hardest" chooses, in (0, 1], to the nearest number and at
        least one; "hard_negatives" does the same where no example is rare.
      rare: bools like losses, True where an example is of the rare class. "hard_negatives" needs
        it; given to "importance", the two classes are balanced.
      ratio: examples of other classes that "hard_negatives" chooses for each rare one, at least 0.
      power: of the loss in "importance", at least 0; 0 makes all alike. Losses below 0 count as 0
        there, and where all are 0 they are alike.
      balance: of the classes in "importance" where rare is given, in [0, 1]: 1 divides a weight by
        how many examples of its class, rare or not, the batch has; 0 leaves it as it is.
      mask: bools like losses, False where an example does not count; None counts all.

    Returns:
      Weights of the shape of losses, float32 or wider, without a gradient; all 0 where no example
      counts. Of equal losses the first are chosen, so that the number chosen is exact.

    Raises:
      TypeError, ValueError: for an option of the wrong kind, range or shape.

    >>> import jax.numpy as jnp
    >>> losses = jnp.array([1.0, 4.0, 0.0, 3.0])
    >>> hard_example_weights(losses, keep=0.5).tolist()
    [0.0, 2.0, 0.0, 2.0]
    >>> rare = jnp.array([False, False, True, False])
    >>> hard_example_weights(losses, mode="hard_negatives", rare=rare, ratio=1.0).tolist()
    [0.0, 2.0, 2.0, 0.0]
    >>> hard_example_weights(losses, mode="importance").tolist()
    [0.5, 2.0, 0.0, 1.5]
    """
    check_choice("hard_example_weights", MODES, mode=mode)
    check_positive("hard_example_weights", keep=keep)
    check_non_negative("hard_example_weights", ratio=ratio, power=power, balance=balance)
    check_range("lie in (0, 1]", lambda x: x <= 1, "hard_example_weights", keep=keep)
    check_range("lie in [0, 1]", lambda x: x <= 1, "hard_example_weights", balance=balance)
    losses = jax.lax.stop_gradient(_losses(losses))
    counts = jnp.isfinite(losses)
    if mask is not None:
        counts &= _flags("mask", mask, losses.shape)
    if rare is not None:
        rare = _flags("rare", rare, losses.shape) & counts
    losses = jnp.where(counts, losses, 0.0)
    number = jnp.sum(counts)
    if mode == "hardest":
        chosen = _hardest(losses, counts, _share(keep, number))
        weights = chosen.astype(losses.dtype)
    elif mode == "hard_negatives":
        if rare is None:
            raise ValueError(
                "hard_example_weights(mode='hard_negatives', rare=None): rare must be given, an "
                "array of bools like losses, True where an example is of the rare class, such as "
                "labels == 7."
            )
        positives = jnp.sum(rare)
        most = jnp.where(positives > 0, _rounded(ratio, positives), _share(keep, number))
        chosen = rare | _hardest(losses, counts & ~rare, most)
        weights = chosen.astype(losses.dtype)
    else:
        weights = counts.astype(losses.dtype) * _powers(losses, power)
        if rare is not None:
            others = number - jnp.sum(rare)
            members = jnp.where(rare, jnp.sum(rare), others)
            weights *= _balanced(members, balance).astype(losses.dtype)
    total = jnp.sum(weights)
    return weights * (number.astype(losses.dtype) / jnp.where(total > 0, total, 1.0))


def _hardest(losses: jax.Array, among: jax.Array, most: jax.Array) -> jax.Array:
    """Which are the `most` largest losses of some, or all of these where they are fewer."""
    order = jnp.argsort(jnp.where(among, -losses, jnp.inf).ravel(), stable=True)
    rank = jnp.argsort(order, stable=True).reshape(losses.shape)
    return among & (rank < most)


def _share(keep: Scalar, number: jax.Array) -> jax.Array:
    return jnp.maximum(_rounded(keep, number), 1)


def _rounded(factor: Scalar, number: jax.Array) -> jax.Array:
    """Factor times number as a whole number; halves go up."""
    product = jnp.asarray(factor, widest()) * number.astype(widest())
    return jnp.minimum(jnp.floor(product + 0.5), 2.0**30).astype(number.dtype)


def _powers(losses: jax.Array, power: Scalar) -> jax.Array:
    """Powers of losses of at least 0, over that of the largest; 1 where all are 0."""
    sizes = jnp.maximum(losses, 0.0)
    largest = jnp.max(sizes, initial=0.0)
    shares = jnp.where(largest > 0, divided_by_largest(sizes, largest), 1.0)
    return shares ** jnp.asarray(power, losses.dtype)


def _balanced(members: jax.Array, balance: Scalar) -> jax.Array:
    """The weight of an example of a class of that many members: one over their effective number."""
    members = jnp.maximum(members, 1).astype(widest())
    below = jnp.asarray(balance, widest()) < 1
    missing = -jnp.expm1(members * jnp.asarray(log(balance), widest()))
    return jnp.where(below, (1 - balance) / jnp.where(below, missing, 1.0), 1 / members)


def _losses(losses: Any) -> jax.Array:
    """The losses in the dtype to compute in.

    Raises:
      TypeError: where they are no real numbers.
      ValueError: where they are a single number.
    """
    losses = jnp.asarray(losses)
    if not jnp.isdtype(losses.dtype, ("bool", "integral", "real floating")):
        raise TypeError(
            f"hard_example_weights(losses=array of {losses.dtype}): losses must be real numbers."
        )
    if losses.ndim == 0:
        raise ValueError(
            "hard_example_weights(losses=a scalar): losses must be one number an example; give the "
            "losses before their mean."
        )
    floats = jnp.issubdtype(losses.dtype, jnp.floating)
    return losses.astype(working_dtype(losses.dtype) if floats else widest())


def _flags(name: str, flags: Any, shape: tuple[int, ...]) -> jax.Array:
    """An array of bools of the shape of losses.

    Raises:
      TypeError, ValueError: where it is of another kind or shape.
    """
    flags = jnp.asarray(flags)
    if flags.dtype != bool:
        raise TypeError(
            f"hard_example_weights({name}=array of {flags.dtype}): {name} must be an array of "
            f"bools, such as labels == 7."
        )
    if flags.shape != shape:
        raise ValueError(
            f"hard_example_weights({name}=array of shape {flags.shape}): {name} must have the "
            f"shape of losses, {shape}."
        )
    return flags

"""`Task`: what is trained. Data, model, loss and metric, and nothing about optimizers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from adaptive_optax.core.checks import check_positive, check_steps


@dataclass(frozen=True)
class Split:
    """Examples: arrays, or trees of arrays, whose first axis counts the examples."""

    inputs: Any
    targets: Any

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(jax.tree.leaves(self.inputs)[0])


@dataclass(frozen=True)
class Task:
    """A model, its data, and how to judge it.

    Attributes:
      name: as reports show it.
      init: `init(seed) -> params`; seed is a Python integer.
      apply: `apply(params, inputs) -> outputs` for a batch of examples.
      loss: `loss(outputs, targets)`, one number an example; training descends on its mean.
      metric: as loss, for people; its mean over a split is reported.
      train: what gradients are taken on.
      validation: what chooses the learning rate.
      test: read once an optimizer, after all training.
      augment: `augment(key, inputs) -> inputs` for a training batch, traced; None leaves it be.
      weigh: `weigh(losses, targets) -> weights` of a training batch, one number an example, of mean
        1; training descends on the weighted mean, and no gradient is taken through the weights.
        Validation and test are never weighted. None weighs all alike.
      batch_size: examples a step; None takes all in their order. A last partial batch is left out.
      epochs: passes over the training examples, by default.
      seeds: number of runs a learning rate, by default.
      target: validation metric that "steps to target" counts to; None counts to none.
      metric_name: a word, as reports and pictures show it.
      larger_is_better: whether the metric grows as the model improves.
      float64: whether to compute in float64; the process's own setting is left as it is.
      centres: learning rates to start from, by optimizer's name or family, where this
        task differs from the usual.
      evaluate_every: steps from one evaluation on the validation split to the next, by default;
        None is an epoch.
      list_losses_every: evaluations from one listed training loss to the next; 0 lists none.
    """

    name: str
    init: Callable[[int], Any]
    apply: Callable[[Any, Any], Any]
    loss: Callable[[Any, Any], jax.Array]
    metric: Callable[[Any, Any], jax.Array]
    train: Split
    validation: Split
    test: Split
    augment: Callable[[jax.Array, Any], Any] | None = None
    weigh: Callable[[jax.Array, Any], jax.Array] | None = None
    batch_size: int | None = 32
    epochs: int = 10
    seeds: int = 3
    target: float | None = None
    metric_name: str = "accuracy"
    larger_is_better: bool = True
    float64: bool = False
    centres: Mapping[str, float] = field(default_factory=dict)
    evaluate_every: int | None = None
    list_losses_every: int = 0

    def __post_init__(self):
        check_steps("Task", epochs=self.epochs, seeds=self.seeds)
        if self.batch_size is not None:
            check_steps("Task", batch_size=self.batch_size)
        if self.evaluate_every is not None:
            check_steps("Task", evaluate_every=self.evaluate_every)
        check_positive("Task", **{f"centres[{k!r}]": v for k, v in self.centres.items()})
        for name in ("train", "validation", "test"):
            split = getattr(self, name)
            if not isinstance(split, Split):
                raise TypeError(
                    f"Task({name}={type(split).__name__}): {name} must be a Split(inputs, targets)."
                )
            counts = {len(x) for x in jax.tree.leaves((split.inputs, split.targets))}
            if len(counts) != 1 or 0 in counts:
                raise ValueError(
                    f"Task({name}=...): inputs and targets must have one first axis, of at least "
                    f"one example; found lengths {sorted(counts)}."
                )

    def objective(self, params: Any, inputs: Any, targets: Any) -> jax.Array:
        """What training descends on, for one batch."""
        losses = self.loss(self.apply(params, inputs), targets)
        if self.weigh is None:
            return jnp.mean(losses)
        return jnp.mean(losses * jax.lax.stop_gradient(self.weigh(losses, targets)))

    @property
    def batch(self) -> int:
        """Examples a step."""
        return min(self.batch_size or self.train.size, self.train.size)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the training examples."""
        return self.train.size // self.batch

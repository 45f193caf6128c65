"""What a state can offer to those who look at it from outside.

A state class implements a protocol by having its attribute. Whoever reads states asks for the
protocol, and knows no class of another folder.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax


@runtime_checkable
class HasEvalParams(Protocol):
    """A state of a wrapper whose parameters in training are not the ones to evaluate."""

    def eval_params(self, params: Any) -> Any:
        """The parameters to evaluate with, a tree like params."""


@runtime_checkable
class HasRateFactor(Protocol):
    """A state that multiplies the learning rate of what is inside it."""

    @property
    def rate_factor(self) -> Any:
        """The factor of the last update; None if it leaves the learning rate."""


@runtime_checkable
class HasLearningRates(Protocol):
    """A state that knows the learning rate in effect."""

    @property
    def learning_rates(self) -> Mapping[str, Any]:
        """The learning rate of each group; of all parameters, named "", if there are no groups."""

    def told_rates(self, before: Any) -> Any:
        """The state with the learning rates that were set in it since `before`."""


@runtime_checkable
class HasMetrics(Protocol):
    """A state that shows numbers in `metrics`."""

    @property
    def own_metrics(self) -> Mapping[str, jax.Array]:
        """The numbers by name."""

    @property
    def inner_states(self) -> Any:
        """The states inside, where `metrics` looks further."""


@runtime_checkable
class CountsSkips(Protocol):
    """A state of a wrapper that does not take every step."""

    @property
    def skipped(self) -> Any:
        """How many steps were not taken."""


@runtime_checkable
class HasCodes(Protocol):
    """A state that keeps the slots of an inner state as codes."""

    layout: Any  # how they are coded

    def decoded(self) -> Any:
        """The inner state as its optimizer knows it."""

    def encoded(self, inner_state: Any) -> Any:
        """An inner state as a state of this kind."""

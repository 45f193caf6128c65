"""One row of the catalogue: how an optimizer is built and what is known about it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

import adaptive_optax as ao


class Case(NamedTuple):
    """One optimizer with its options."""

    id: str
    make: Callable[..., optax.GradientTransformation]  # learning rate -> optimizer
    names: tuple[str, ...]  # the public names that the row covers
    slots: int  # arrays of the parameter's size in the state
    rate: float  # a learning rate at which it descends on a unit quadratic
    rule: str = ""  # README: update rule; empty where the row is a variant
    when: str = ""  # README: when to use it
    elementwise: bool = True  # whether a coordinate's update depends on that coordinate alone
    memory: str = ""  # README: slots, where their number does not say it
    leaves: int | None = None  # arrays of the state for `params_of()`; None is slots for each leaf

    @property
    def title(self) -> str:
        """README's name: of a wrapper over an inner optimizer, that of the wrapper."""
        inside = "members" if self.names[0] in ("blend", "switch") else "inner"
        return self.id if "(" not in self.id else f"{self.names[0]}({inside})"


def over(wrapper: str, title: str, inner: Case, slots: int, /, *, also=(), **about) -> Case:
    options = about.pop("options", {})
    wrap = getattr(ao, wrapper)

    def make(learning_rate: Any = inner.rate) -> optax.GradientTransformation:
        return wrap(inner.make(learning_rate), **options)

    more = slots - inner.slots
    memory = f"inner + {more}" if more else "inner"
    about = {"elementwise": inner.elementwise, "memory": memory, **about}
    return Case(title, make, (wrapper, *also), slots, inner.rate, **about)


def several(wrapper: str, title: str, members: dict[str, Case], slots: int, /, **about) -> Case:
    options = about.pop("options", {})
    first = next(iter(members.values()))

    def make(learning_rate: Any = first.rate) -> optax.GradientTransformation:
        inners = {name: row.make(learning_rate) for name, row in members.items()}
        return getattr(ao, wrapper)(inners, **options)

    return Case(title, make, (wrapper,), slots, first.rate, **about)


def by_id(row: Case) -> str:
    """The row's name in a test's id."""
    return row.id

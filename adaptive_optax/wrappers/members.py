"""The members of a wrapper that has several optimizers inside it, by name."""

from collections.abc import Mapping
from typing import Any

import optax

from adaptive_optax.core.checks import caller, check_transformation


def checked_members(members: Any) -> dict[str, optax.GradientTransformationExtraArgs]:
    """The members in their order, each of which accepts extra arguments.

    Raises:
      TypeError: where members is no dict from a name to a transformation.
      ValueError: where it is empty.
    """
    if not isinstance(members, Mapping):
        raise TypeError(
            f"{caller()}(members={members!r}): members must be a dict from a name to a "
            f"transformation, such as {{'adam': ao.adam(1e-3), 'sgd': ao.sgd(0.1)}}."
        )
    if not members:
        raise ValueError(f"{caller()}(members={{}}): give at least one member, by name.")
    for name, tx in members.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"{caller()}({{{name!r}: ...}}): the name of a member must be a word.")
        check_transformation(**{name: tx})
    return {name: optax.with_extra_args_support(tx) for name, tx in members.items()}

"""The members of a wrapper that has several optimizers inside it, by name."""

from collections.abc import Mapping
from typing import Any

import optax

from adaptive_optax.core.checks import check_transformation
from adaptive_optax.core.types import Transformation


def checked_members(function: str, members: Any) -> dict[str, Transformation]:
    """The members in their order, each bearing extra arguments.

    Raises:
      TypeError: where members is no dict from a name to a transformation.
      ValueError: where it is empty.
    """
    if not isinstance(members, Mapping):
        raise TypeError(
            f"{function}(members={members!r}): members must be a dict from a name to a "
            f"transformation, such as {{'adam': ao.adam(1e-3), 'sgd': ao.sgd(0.1)}}."
        )
    if not members:
        raise ValueError(f"{function}(members={{}}): give at least one member, by name.")
    for name, tx in members.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"{function}({{{name!r}: ...}}): the name of a member must be a word.")
        check_transformation(function, **{name: tx})
    return {name: optax.with_extra_args_support(tx) for name, tx in members.items()}

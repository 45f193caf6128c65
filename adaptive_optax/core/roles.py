"""What a slot holds, where that says how coarsely it may be kept.

A rule writes it as the type of a slot. Both kinds forget: each update moves them a little towards
something new, so that an error made now fades. Slots that are neither, such as a copy of the
parameters, a sum without end or the largest value so far, are `Any`.
"""

import functools
import typing
from typing import Annotated, Any, TypeAlias

SIGNED = "signed"
NON_NEGATIVE = "non_negative"
SQUARES = "squares"
ROLES = (SIGNED, NON_NEGATIVE, SQUARES)

Signed: TypeAlias = Annotated[Any, SIGNED]  # a fading mean or sum of either sign
NonNegative: TypeAlias = Annotated[Any, NON_NEGATIVE]  # a fading mean of squares or of moduli
Squares: TypeAlias = Annotated[Any, SQUARES]  # one of the squares of what the slot before it is of


@functools.cache
def roles_of(slots: type) -> dict[str, str]:
    """The role of each slot of a class that has one, by name."""
    try:
        hints = typing.get_type_hints(slots, include_extras=True)
    except (NameError, TypeError):  # written for a type checker alone
        return {}
    found = {name: getattr(hint, "__metadata__", (None,))[0] for name, hint in hints.items()}
    return {name: role for name, role in found.items() if role in ROLES}

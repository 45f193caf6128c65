"""Which extra arguments an update function takes."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def taken(update: Callable[..., Any], extra_args: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the extra arguments that update takes: by its signature, all or by name.

    `optax.with_extra_args_support` goes by the class instead, and so keeps the loss from
    optax.MultiSteps, whose class promises nothing and which passes everything on.
    """
    parameters = inspect.signature(update).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(extra_args)
    names = {p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY}
    return {name: value for name, value in extra_args.items() if name in names}

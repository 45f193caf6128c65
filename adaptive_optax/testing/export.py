"""Contract 11, targets: init and update lower for every platform."""

import jax
import jax.export

from adaptive_optax.testing.evidence import BrokenError
from adaptive_optax.testing.subject import Subject
from adaptive_optax.testing.trees import params_of

PLATFORMS = ("cpu", "cuda", "tpu")


def exports(subject: Subject) -> None:
    """With bfloat16 parameters, from whatever machine this is."""
    params = params_of("bfloat16")
    state = subject.tx.init(params)
    for function, args in (
        (subject.tx.init, (params,)),
        (subject.tx.update, (params, state, params)),
    ):
        exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*args)
        if set(exported.platforms) != set(PLATFORMS):
            raise BrokenError(f"exports for {exported.platforms} only")

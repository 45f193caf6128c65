"""Contract 8, strictness: jax's strictest settings, and no warnings."""

import warnings

import jax
import jax.numpy as jnp

from adaptive_optax.testing.evidence import during
from adaptive_optax.testing.subject import Subject
from adaptive_optax.testing.trees import filled, grads_of, params_of, run


def strict_settings(subject: Subject) -> None:
    """Traces under the strictest promotion; looks for NaNs, even on the way, at zero gradients."""
    for dtype in ("float32", "bfloat16"):
        params = params_of(dtype)
        transformations = {f"{dtype} parameters": subject.tx}
        if not subject.fixed:
            title = f"{dtype} parameters, a float32 array for a learning rate"
            transformations[title] = subject.at(jnp.float32(subject.rate))
        for title, tx in transformations.items():
            with (
                during(f"strict promotion, {title}"),
                jax.numpy_dtype_promotion("strict"),
                jax.numpy_rank_promotion("raise"),
            ):
                jax.eval_shape(tx.update, params, tx.init(params), params)
        with during(f"debug_nans, {dtype} parameters"), jax.debug_nans(True):
            run(subject.tx, params, [filled(params, 0.0), grads_of(params)])


def no_warnings(subject: Subject) -> None:
    """Builds it anew and takes shapes of its own, so that all is traced anew."""
    params = {"kernel": jnp.ones((5, 2)), "bias": jnp.ones(7, "bfloat16")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tx = subject.fresh()
        state = tx.init(params)
        run(tx, params, [params, params])
        jax.eval_shape(lambda g, s, p: tx.update(g, s, p), params, state, params)

"""Freeze trajectories of optax's optimizers, in float64, and of its Lookahead.

    pip install optax==0.2.8 jax==0.10.2 numpy==2.4.6
    python tests/goldens/make_optax.py

RMSProp's momentum runs at a constant rate only: optax multiplies by the rate before it, which is
another rule once the rate changes. Of optax.yogi, Adan and Sophia see README.md.
"""

import functools
import os

os.environ.update(JAX_PLATFORMS="cpu", JAX_ENABLE_X64="1")

import jax
import jax.numpy as jnp
import numpy as np
import optax
from cases_optax import CASES, CHANGING, LOOKAHEADS
from record import join, run, save, sequence


def follow(kind, arguments, rate, start, gradients):
    """The parameters after each step; a changing rate is a schedule."""
    if isinstance(rate, np.ndarray):
        rates = jnp.asarray(rate)
        rate = lambda count: rates[count]  # noqa: E731
    function = BUILT_HERE.get(kind) or functools.reduce(getattr, kind.split("."), optax)
    return _walk(function(rate, **arguments), jax.tree.map(jnp.asarray, start), gradients)


def scale_by_yogi(rate, **arguments):
    """Yogi as a chain, as optax.yogi fixes the start of its moments."""
    return optax.chain(optax.scale_by_yogi(**arguments), optax.scale_by_learning_rate(rate))


def adafactor(
    rate,
    min_dim_size_to_factor=128,
    decay_rate=0.8,
    multiply_by_parameter_scale=True,
    clipping_threshold=1.0,
    weight_decay_rate=None,
    eps=1e-30,
):
    """optax.adafactor, with 1 - t^-decay_rate in float64: optax has it in float32 at any dtype."""

    def decay(count, exponent):
        return 1.0 - (count + 1.0) ** -exponent

    parts = [
        optax.scale_by_factored_rms(
            decay_rate=decay_rate,
            min_dim_size_to_factor=min_dim_size_to_factor,
            epsilon=eps,
            decay_rate_fn=decay,
        )
    ]
    if clipping_threshold is not None:
        parts.append(optax.clip_by_block_rms(clipping_threshold))
    parts.append(optax.scale_by_learning_rate(rate))
    if multiply_by_parameter_scale:
        parts.append(optax.scale_by_param_block_rms())
    if weight_decay_rate is not None:
        parts.append(optax.add_decayed_weights(-weight_decay_rate))
    return optax.chain(*parts)


def ademamix(rate, warmup_steps=None, alpha=5.0, b1=0.9, b3=0.9999, **arguments):
    """optax.contrib.ademamix, given the paper's schedules, whose t is 1 at optax's count 0."""
    if warmup_steps is None:
        return optax.contrib.ademamix(rate, b1=b1, b3=b3, alpha=alpha, **arguments)

    def part(count):
        return jnp.minimum((count + 1.0) / warmup_steps, 1.0)

    def slow(count):
        first, last, x = np.log(b1), np.log(b3), part(count)
        return jnp.minimum(jnp.exp(first * last / ((1 - x) * last + x * first)), b3)

    return optax.contrib.ademamix(
        rate, b1=b1, b3=slow, alpha=lambda count: alpha * part(count), **arguments
    )


def adopt(rate, clip_power=0.25, **arguments):
    """optax.contrib.adopt, whose clip is a function."""
    return optax.contrib.adopt(rate, clip_value_fn=lambda count: count**clip_power, **arguments)


BUILT_HERE = {
    "scale_by_yogi": scale_by_yogi,
    "adafactor": adafactor,
    "contrib.ademamix": ademamix,
    "contrib.adopt": adopt,
}


def check_what_is_built_here():
    """At their defaults they are optax's own, Adafactor's but for the rounding of its decay."""
    start, gradients = sequence()
    steps = [jax.tree.map(lambda g, t=t: g[t], gradients) for t in range(len(CHANGING))]
    for kind in ("adafactor", "contrib.ademamix", "contrib.adopt"):
        ours = follow(kind, {}, CHANGING, start, steps)
        function = functools.reduce(getattr, kind.split("."), optax)
        theirs = _walk(
            function(lambda count: jnp.asarray(CHANGING)[count]),
            jax.tree.map(jnp.asarray, start),
            steps,
        )
        tolerance = 1e-6 if kind == "adafactor" else 0
        np.testing.assert_allclose(join(ours), join(theirs), rtol=0, atol=tolerance)


def lookaheads() -> None:
    """Save the fast and slow parameters of optax.lookahead over SGD with momentum and Adam."""
    start, gradients = sequence()
    steps = [jax.tree.map(lambda g, t=t: g[t], gradients) for t in range(len(CHANGING))]
    entries, paths = [], {}
    for suffix, inner, arguments, rate, outer in LOOKAHEADS:
        key = f"optax-lookahead-{suffix}"
        tx = optax.lookahead(getattr(optax, inner)(rate, **arguments), **outer)
        params = optax.LookaheadParams.init_synced(jax.tree.map(jnp.asarray, start))
        pairs = _walk(tx, params, steps)
        paths[key] = join([pair.fast for pair in pairs])
        paths[f"{key}-slow"] = join([pair.slow for pair in pairs])
        ours = {
            "every": outer["sync_period"],
            "step_size": outer["slow_step_size"],
            "at_sync": "reset" if outer.get("reset_state") else "keep",
        }
        entries.append(
            {
                "id": key,
                "name": f"lookahead over {inner}",
                "overrides": {"inner": arguments, **ours},
                "learning_rate": rate,
                "library": "optax",
                "version": optax.__version__,
                "class": "lookahead",
                "arguments": outer,
            }
        )
    save("optax_lookahead", entries, paths)


def _walk(optimizer, params, gradients):
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    path = []
    for gradient in gradients:
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        path.append(jax.tree.map(np.asarray, params))
    return path


if __name__ == "__main__":
    check_what_is_built_here()
    run("optax", optax.__version__, CASES, follow)
    lookaheads()

"""Optimizers as hypothesis draws them: any of ours, any options, any nesting of wrappers."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from catalogue import OPTIMIZERS, unit_curvature
from error_options import FRACTION, NON_NEGATIVE, OPTIONS, POSITIVE
from hypothesis import strategies as st

import adaptive_optax as ao

NUMBERS = {
    FRACTION: (0.0, 0.5, 0.9, 0.999, 1 - 2**-20),
    NON_NEGATIVE: (0.0, 1e-30, 1e-8, 0.1, 1.0, 100.0),
    POSITIVE: (1e-30, 1e-6, 1.0, 100.0),
}
RATES = (0.0, 1e-8, 1e-3, 0.1, 1.0, 100.0)
NARROWER = {"threshold", "eta_plus", "smallest_step", "largest_step"}  # ranges of their own
NEEDED = {"sophia": {"hessian": unit_curvature}}


def scheduled(rate: float) -> Any:
    return optax.linear_schedule(rate, rate / 2, 3)


def as_array(value: float) -> jax.Array:
    return jnp.asarray(value, jnp.float32)


def scalars(values: tuple) -> st.SearchStrategy:
    """Floats, or arrays of them."""
    plain = st.sampled_from(values)
    return plain | plain.map(as_array)


def rates() -> st.SearchStrategy:
    return scalars(RATES) | st.sampled_from(RATES).map(scheduled)


@st.composite
def optimizers(draw: Any) -> tuple[str, optax.GradientTransformation]:
    """A row of the catalogue, or its function with options in their documented ranges; and how."""
    row = draw(st.sampled_from(OPTIMIZERS))
    name = row.names[0]
    rules = {
        option: rule
        for option, rule in OPTIONS[name].items()
        if rule in NUMBERS and option not in NARROWER
    }
    chosen = (
        draw(st.lists(st.sampled_from(sorted(rules)), max_size=3, unique=True)) if rules else []
    )
    options = {o: draw(scalars(NUMBERS[rules[o]])) for o in chosen}
    rate = draw(rates())
    if not options:
        return f"{row.id}({rate})", row.make(rate)
    tx = getattr(ao, name)(rate, **NEEDED.get(name, {}), **options)
    return f"{name}({rate}, {options})", tx


def real(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.issubdtype(x.dtype, jnp.floating), tree)


def unless_a_scalar(tree: Any) -> Any:
    return jax.tree.map(lambda x: not jnp.issubdtype(x.dtype, jnp.inexact) or x.ndim > 0, tree)


def one_layer(path: str) -> int:
    return 0


SHARES, STEPS, SIGMAS = (0.25, 1.0), (1, 2, 3), (None, 3.0)
MEMBER = ao.sgd(0.1, momentum=0.9)
FORMATS = (ao.bfloat16(), ao.minifloat8(), ao.int8(), ao.int4(), ao.factored(), ao.int8(block=4))

WRAPPERS = {  # the options are drawn, one of each tuple
    "lookahead": (ao.lookahead, STEPS, SHARES, {"at_sync": ("keep", "reset", "pullback")}),
    "schedule_free": (ao.schedule_free, {"b1": (0.0, 0.9), "weight_power": (0.0, 2.0)}),
    "cautious": (ao.cautious,),
    "averaged": (ao.averaged, {"power": (0.0, 8.0)}),
    "guarded": (
        ao.guarded,
        {"loss_sigmas": SIGMAS, "norm_sigmas": SIGMAS, "warm_up": (1, 20), "backoff": (None, 0.5)},
    ),
    "stored": (ao.stored, FORMATS),
    "monitored": (ao.monitored, {"every": STEPS}),
    "multi_steps": (ao.multi_steps, STEPS),
    "smoothed": (ao.smoothed, (0.0, 0.98), (0.0, 2.0), {"bias_correction": (True, False)}),
    "hypergradient": (ao.hypergradient, {"mode": ("additive", "multiplicative")}),
    "variance_reduced": (ao.variance_reduced, ("storm", "mars")),
    "layerwise_decay": (lambda tx, decay: ao.layerwise_decay(tx, decay, layers=one_layer), SHARES),
    "gradual_unfreezing": (
        lambda tx, every: ao.gradual_unfreezing(tx, every, layers=one_layer),
        STEPS,
    ),
    "plateau": (lambda tx, n: optax.chain(tx, ao.reduce_on_plateau(patience=n)), (0, 1)),
    "blend": (
        lambda tx, adapt: ao.blend({"inner": tx, "other": MEMBER}, adapt=adapt),
        (None, "hedge", "hypergradient"),
    ),
    "switch-at": (lambda tx, at: ao.switch({"inner": tx, "other": MEMBER}, at=[at]), (1, 2)),
    "switch-when": (
        lambda tx, when: ao.switch({"inner": tx, "other": ao.sgd(0.1)}, when=when, window=4),
        ("plateau", "swats", "bandit"),
    ),
    "masked": (lambda tx: optax.masked(tx, unless_a_scalar),),
    "clipped": (lambda tx: optax.chain(optax.masked(optax.clip(1.0), real), tx),),
    "partition": (
        lambda tx: optax.partition(
            {True: tx, False: MEMBER}, lambda tree: jax.tree.map(lambda x: x.ndim > 0, tree)
        ),
    ),
}

OUTERMOST = {"rounded": (ao.rounded, ("stochastic", "kahan", "master"))}


@st.composite
def nestings(draw: Any, deepest: int = 4) -> tuple[str, Any]:
    """What it is, and a function that builds it: an optimizer within up to so many wrappers."""
    words, tx = draw(optimizers())
    names = draw(st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=deepest - 1))
    names += draw(st.lists(st.sampled_from(sorted(WRAPPERS) + sorted(OUTERMOST)), max_size=1))
    layers = []
    for name in names:
        wrap, *given = {**WRAPPERS, **OUTERMOST}[name]
        named = given.pop() if given and isinstance(given[-1], dict) else {}
        options = {key: draw(st.sampled_from(values)) for key, values in named.items()}
        layers.append((wrap, [draw(st.sampled_from(values)) for values in given], options))
        words = f"{name}({words}, {layers[-1][1:]})"

    def build():
        built = tx
        for wrap, places, options in layers:
            built = wrap(built, *places, **options)
        return built

    return words, build

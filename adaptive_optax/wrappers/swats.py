"""SWATS: from an adaptive optimizer to SGD, at the rate that SGD would have needed all along.

Keskar & Socher, 2017, arXiv:1712.07628. p is the first member's step, g its gradient:

    c = |p|^2 / -<p, g>                 SGD's rate whose step, projected on p, is p
    slow, fast                          averages of c, over about 100 and 20 steps
    once |fast / slow - 1| <= tolerance for `window` steps: SGD with rate slow (1 - momentum)

p = -c g gives c. Norms and products are of the whole tree.
Departures: the paper goes on when |c - its average| < 1e-9, whatever the size of c, and at the
first step that chances to pass; here two averages agree, relatively, and for long. They are
ratios of averages, of |p|^2 and of -<p, g>, which a step across the gradient does not blow up.
Their spans are those given above; the paper's b2 = 0.999 averages over a thousand steps.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adaptive_optax.core.agreement import agreement
from adaptive_optax.core.arrays import ema, wide
from adaptive_optax.core.types import Scalar
from adaptive_optax.introspection.effective_rate import rates
from adaptive_optax.introspection.structure import parts, structure
from adaptive_optax.wrappers.switch_criteria import Criterion, Seen

FAST, SLOW = 0.95, 0.99  # decays of the two averages
FIRST = 40  # steps before which both have seen the same


class SwatsState(NamedTuple):
    """What the criterion remembers; averages are the widest float, all of shape ()."""

    squares_fast: Any  # of |p|^2
    squares_slow: Any
    products_fast: Any  # of -<p, g>
    products_slow: Any
    calm: Any  # steps that the averages have agreed for, int32

    @property
    def rate(self) -> Any:
        """The learning rate for SGD; 0 where the steps have not gone downhill on the mean."""
        return _over(self.squares_slow, self.products_slow)


class Swats(Criterion):
    """From the first of two members to the second."""

    inners: tuple[optax.GradientTransformation, ...]
    window: int
    tolerance: Scalar

    def check(self) -> None:
        if len(self.inners) != 2:
            raise ValueError(
                f"switch(when='swats'): it goes from one member to another; {len(self.inners)} "
                f"were given."
            )
        other = [part.name for part in parts(structure(self.inners[1])) if part.scale_invariant]
        if other:
            raise ValueError(
                f"switch(when='swats'): the rate that it finds is SGD's, and would be far too "
                f"large or small for {other[0]}; give optax.sgd or ao.sgd as the second member."
            )

    @functools.cached_property
    def damping(self) -> float:
        """1 - momentum of the second member."""
        damping = 1.0
        for part in parts(structure(self.inners[1])):
            momentum = part.options.get("decay" if part.name == "trace" else "momentum")
            damping = 1 - momentum if isinstance(momentum, float) else damping
        return damping

    def start(self) -> SwatsState:
        return SwatsState(wide(0.0), wide(0.0), wide(0.0), wide(0.0), jnp.zeros((), jnp.int32))

    def decide(self, memory: SwatsState, seen: Seen) -> tuple[jax.Array, SwatsState]:
        found = agreement(seen.grads, seen.updates)
        square, product = found.direction**2, -found.product
        known = jnp.isfinite(square) & jnp.isfinite(product) & (seen.active == 0)

        def averaged(old: Any, x: Any, decay: float) -> jax.Array:
            return jnp.where(known, ema(old, jnp.where(known, x, 0.0), decay), old)

        new = SwatsState(
            averaged(memory.squares_fast, square, FAST),
            averaged(memory.squares_slow, square, SLOW),
            averaged(memory.products_fast, product, FAST),
            averaged(memory.products_slow, product, SLOW),
            memory.calm,
        )
        fast, slow = _over(new.squares_fast, new.products_fast), new.rate
        agree = (slow > 0) & (jnp.abs(fast - slow) <= self.tolerance * slow) & (seen.count > FIRST)
        calm = jnp.where(agree, memory.calm + 1, 0)
        on = (seen.active == 0) & (calm >= self.window)
        return jnp.where(on, 1, seen.active).astype(jnp.int32), new._replace(calm=calm)

    def begin(self, memory: SwatsState, fresh: Any, params: Any) -> Any:
        found = rates(self.inners[1], fresh.inner_state, fresh.inner_state, params)
        known = [wide(rate) for rate in found if rate is not None]
        if not known:
            raise ValueError(
                "switch(when='swats'): the second member does not tell its learning rate; give "
                "optax.sgd(0.1) or ao.sgd(0.1), whose number the rate that it finds replaces."
            )
        own = jnp.max(jnp.stack(known))
        rate = memory.rate * self.damping
        return fresh._replace(scale=jnp.where(own > 0, rate / jnp.where(own > 0, own, 1.0), 1.0))


def _over(squares: Any, products: Any) -> Any:
    """|p|^2 / -<p, g>, which need no correction of their equal bias; 0 where p goes uphill."""
    down = products > 0
    return jnp.where(down, squares / jnp.where(down, products, 1.0), 0.0)

"""Do moments that are kept in few bits follow the gradients? Two questions with exact answers.

    decay    v of 1e-4 and no gradient any more, for 2,000 steps          0.135 of the start
    rise     v of 1e-4 and squared gradients of 1e-2, for 1,000 steps     0.00636

At b2 = 0.999. One element of every 32 has gradients of 1 all the time, so that a block's scale is
not that of the others. Rounded to the nearest, v would stay where it is in both.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adaptive_optax.storage.format import Format
from adaptive_optax.storage.stored import stored

B2, START, SQUARE = 0.999, 1e-4, 1e-2
SHAPE = (256, 256)


class Followed(NamedTuple):
    """The second moments of the elements beside the hot ones."""

    start: float  # as it is kept, not always the START that was rounded to the nearest
    mean: float
    spread: float  # standard deviation over the mean
    truth: float

    @property
    def error(self) -> float:
        """Of the mean, relative."""
        return self.mean / self.truth - 1


def followed(kind: Format | None, steps: int, square: float) -> Followed:
    """V of scale_by_adam after some steps of one squared gradient; None keeps float32."""
    plain = optax.scale_by_adam(b2=B2)
    tx = plain if kind is None else stored(plain, kind)
    params = jnp.zeros(SHAPE)
    hot = jnp.arange(params.size).reshape(SHAPE) % 32 == 7
    grads = jnp.where(hot, 1.0, square**0.5)
    first = plain.init(params)._replace(nu=jnp.where(hot, 1.0, START))
    state = first if kind is None else tx.init(params).encoded(first)

    def beside(state):
        nu = (state if kind is None else state.decoded()).nu
        return np.asarray(nu, np.float64)[~np.asarray(hot)]

    start, share = beside(state).mean(), B2**steps
    found = beside(jax.jit(lambda s: _steps(tx, grads, s, steps))(state))
    truth = share * start + (1 - share) * square
    return Followed(start, found.mean(), found.std() / found.mean(), truth)


def _steps(tx: Any, grads: Any, state: Any, steps: int) -> Any:
    return jax.lax.scan(lambda s, _: (tx.update(grads, s)[1], None), state, length=steps)[0]


def table(kinds: dict[str, Format | None], steps: tuple[int, int]) -> list[list[str]]:
    """Rows of a table: format, decay, its error, rise, its error, verdict."""
    rows = []
    for name, kind in kinds.items():
        decay = followed(kind, steps[0], 0.0)
        rise = followed(kind, steps[1], SQUARE)
        inside = max(abs(decay.error), abs(rise.error)) <= 0.1
        cells = [f"{decay.mean / decay.start:.4f}", f"{decay.error:+.1%}", f"{decay.spread:.2f}"]
        cells += [f"{rise.mean:.5f}", f"{rise.error:+.1%}", f"{rise.spread:.2f}"]
        rows.append([name, *cells, "yes" if inside else "no"])
    return rows

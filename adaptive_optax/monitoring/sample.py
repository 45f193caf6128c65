"""A few coordinates of each gradient in place of all, spread evenly, scaled to its norm."""

import jax
import jax.numpy as jnp

from adaptive_optax.core.matrices import automatic_axes

MOST = 1024  # coordinates of one array


def sample_of(x: jax.Array) -> jax.Array:
    """Up to MOST coordinates of x, float32, whose squared norm is about that of all.

    >>> float(jnp.sum(sample_of(jnp.full((64, 64), 0.5)) ** 2))
    1024.0
    """
    if jnp.iscomplexobj(x):
        x = jnp.stack([x.real, x.imag])
    steps = _steps(x.shape)

    def taken(x):
        return x[tuple(slice(None, None, step) for step in steps)].reshape(-1)

    found = automatic_axes(taken, jnp.zeros(1))(x) if x.size else jnp.zeros(0)
    return jnp.clip(found, -1e15, 1e15).astype(jnp.float32) * (x.size / max(found.size, 1)) ** 0.5


def sample_size(x: jax.Array | jax.ShapeDtypeStruct) -> int:
    """How many coordinates `sample_of` takes."""
    shape = (2, *x.shape) if jnp.issubdtype(x.dtype, jnp.complexfloating) else x.shape
    return _count(shape, _steps(shape))


def _steps(shape: tuple[int, ...]) -> list[int]:
    """From one coordinate taken to the next, along each axis."""
    steps = [1] * len(shape)
    while _count(shape, steps) > MOST:
        longest = max(range(len(shape)), key=lambda axis: -(-shape[axis] // steps[axis]))
        steps[longest] *= 2
    return steps


def _count(shape: tuple[int, ...], steps: list[int]) -> int:
    count = 1
    for size, step in zip(shape, steps, strict=True):
        count *= -(-size // step)
    return count

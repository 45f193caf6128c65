"""Pictures turned, shifted and mirrored at random, as augmentation inside a jitted program."""

import math

import jax
import jax.numpy as jnp


def moved(
    key: jax.Array, pictures: jax.Array, degrees: float, shift: float, mirrored: bool = False
) -> jax.Array:
    """Each picture turned and shifted by its own random amount; zeros come in at the edges.

    Args:
      key: random key.
      pictures: (batch, height, width, channels).
      degrees: largest turn either way.
      shift: largest shift either way, in pixels.
      mirrored: whether to mirror half of them left to right.
    """
    count, height, width, _ = pictures.shape
    turn_key, shift_key, mirror_key = jax.random.split(key, 3)
    most = math.radians(degrees)
    angle = jax.random.uniform(turn_key, (count, 1, 1), minval=-most, maxval=most)
    offset = jax.random.uniform(shift_key, (2, count, 1, 1), minval=-shift, maxval=shift)
    rows = (jnp.arange(height) - (height - 1) / 2)[:, None]
    columns = (jnp.arange(width) - (width - 1) / 2)[None, :]
    if mirrored:
        side = jnp.where(jax.random.bernoulli(mirror_key, shape=(count, 1, 1)), -1.0, 1.0)
        columns = side * columns
    y = jnp.cos(angle) * rows - jnp.sin(angle) * columns + (height - 1) / 2 + offset[0]
    x = jnp.sin(angle) * rows + jnp.cos(angle) * columns + (width - 1) / 2 + offset[1]
    return _sampled(pictures, y, x)


def _sampled(pictures: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """Pictures at fractional positions (batch, height, width), linear between four pixels."""
    count, height, width, channels = pictures.shape
    flat = pictures.reshape(count, height * width, channels)
    top, left = jnp.floor(y), jnp.floor(x)
    result = jnp.zeros_like(pictures)
    for down in (0, 1):
        for right in (0, 1):
            row, column = top + down, left + right
            weight = (1 - jnp.abs(y - row)) * (1 - jnp.abs(x - column))
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
            index = index.astype(jnp.int32).reshape(count, -1, 1)
            values = jnp.take_along_axis(flat, index, axis=1).reshape(pictures.shape)
            result = result + values * jnp.where(inside, weight, 0.0)[..., None]
    return result

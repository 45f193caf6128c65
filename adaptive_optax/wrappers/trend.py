"""The trend of a loss over a window of steps: the slope of its regression line, and its error."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Trend(NamedTuple):
    """What is known of a window so far; all of shape ()."""

    count: Any  # values seen, int32
    first: Any  # the first of them, which the sums are taken from, float32
    total: Any  # sum of y = value - first, float32
    moment: Any  # sum of t y, t = 0 at the first, float32
    squares: Any  # sum of y^2, float32


class Slope(NamedTuple):
    """How a loss moved over a window; all float32, of shape ()."""

    slope: Any  # of the loss, a step
    variance: Any  # of the slope, from what is left around the line


def no_trend() -> Trend:
    """A window of no values."""
    return Trend(jnp.zeros((), jnp.int32), *(jnp.zeros((), jnp.float32) for _ in range(4)))


def followed(trend: Trend, value: jax.Array) -> Trend:
    """The window with one value more; one that is not finite is passed over."""
    first = jnp.where(trend.count == 0, value, trend.first)
    y, t = value - first, trend.count.astype(jnp.float32)
    longer = Trend(
        trend.count + 1, first, trend.total + y, trend.moment + t * y, trend.squares + y * y
    )
    known = jnp.isfinite(value)
    return Trend(*(jnp.where(known, new, old) for new, old in zip(longer, trend, strict=True)))


def slope(trend: Trend) -> Slope:
    """The slope of a window of at least three values."""
    n = jnp.maximum(trend.count, 3).astype(jnp.float32)
    spread = n * (n * n - 1) / 12
    product = trend.moment - (n - 1) / 2 * trend.total
    steep = product / spread
    around = jnp.maximum(trend.squares - trend.total * (trend.total / n) - steep * product, 0.0)
    return Slope(steep, around / (n - 2) / spread)

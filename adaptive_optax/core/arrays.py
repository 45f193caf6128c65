"""The mathematics of one array that the update rules share.

Written so that float32 keeps its digits and its range: second moments saturate at the largest
number instead of becoming inf, `1 - decay**t` does not cancel, and square roots stay
differentiable at zero. Hyperparameters may be Python floats, or arrays of any float dtype.
"""

import math
from typing import Any, cast

import jax
import jax.numpy as jnp

from adaptive_optax.core.types import Scalar


def zeros_slot(p: jax.Array) -> jax.Array:
    """Zeros of p's shape and dtype: the start of a first moment or a trace."""
    return jnp.zeros_like(p)


def real_slot(p: jax.Array, value: Scalar = 0.0) -> jax.Array:
    """A real array of p's shape filled with `value`: the start of a second moment.

    It is real for complex p too, since second moments hold |g|^2.
    """
    return jnp.full_like(p, value, dtype=jnp.finfo(p.dtype).dtype)


def beside(p: jax.Array, x: jax.Array) -> jax.Array:
    """X, bound to p of its shape by a condition that is never true, to be sharded like p.

    A constant has no sharding of its own: under jit it would stand on one device, or on all. One
    made like an array that jit closes over has not even the explicit sharding of that array.
    """
    wanted = jax.typeof(p).sharding
    if wanted.spec != jax.typeof(x).sharding.spec:
        x = jax.sharding.reshard(x, wanted)
    return jnp.where((p == p) & (p != p), jnp.ones_like(x), x)


def reduced_slot(p: jax.Array, axis: int) -> jax.Array:
    """Real zeros of p's shape without one axis, sharded like p's others: a slot of means."""
    if isinstance(p, jax.ShapeDtypeStruct):
        p = jnp.zeros_like(p)
    return beside(p, real_slot(p)).sum(axis)


def scaled(x: Any, factor: Scalar) -> jax.Array:
    """X times a scalar or a real array, in x's dtype."""
    return cast(jax.Array, x * _as(factor, x))


def divided(x: jax.Array, denominator: Scalar) -> jax.Array:
    """X over a scalar or a real array, in x's dtype."""
    return x / _as(denominator, x)


def divided_by_largest(x: jax.Array, largest: jax.Array) -> jax.Array:
    """X over its largest modulus; x itself where that is 0.

    Both are made smaller first, since XLA may multiply by 1 / largest, which can vanish.
    """
    smaller = jnp.where(largest > 1, 0.125, 1.0)
    return divided(scaled(x, smaller), jnp.where(largest > 0, scaled(largest, smaller), 1.0))


def shifted(x: jax.Array, by: Scalar) -> jax.Array:
    """X plus a scalar or a real array, in x's dtype."""
    return x + _as(by, x)


def ema(average: jax.Array, x: jax.Array, decay: Scalar) -> jax.Array:
    """One step of an exponential moving average: decay * average + (1 - decay) * x."""
    return scaled(average, decay) + scaled(x, 1 - decay)


def ema_of_squares(average: jax.Array, x: jax.Array, decay: Scalar) -> jax.Array:
    """One step of the average of |x|^2: decay * average + (1 - decay) * |x|^2."""
    return add_square(scaled(average, decay), x, 1 - decay)


def add_square(total: jax.Array, x: jax.Array, weight: Scalar = 1.0) -> jax.Array:
    """The real total + weight * |x|^2, for total >= 0, at most half the largest number.

    The weight goes in before the square, which buys its worth of range. Without the limit one
    overflowing gradient would leave inf, and its coordinate would stand still for ever. The sum
    comes last: XLA would compute a final minimum twice, for the state and for the step.
    """
    room = jnp.finfo(total.dtype).max / 2 - total
    return total + jnp.minimum(_product(scaled(x, weight), x), room)


def bias(decay: Scalar, count: jax.Array) -> jax.Array:
    """1 - decay**count, the weight that an average started at zero has collected by then.

    Computed as -expm1(count * log(decay)), since the subtraction loses its digits for a decay
    near 1. A scalar of jax's widest float; count >= 1.
    """
    return -jnp.expm1(scaled(elapsed(count), log(decay)))


def debias(average: jax.Array, bias: Scalar) -> jax.Array:
    """The average over its bias: an unbiased mean of the values put in so far."""
    return scaled(average, 1 / bias)


def elapsed(count: jax.Array) -> jax.Array:
    """The count of updates as a float to compute with, of the widest dtype that jax has on."""
    return count.astype(widest())


def widest() -> jnp.dtype:
    """The widest real dtype that jax has on: float32, or float64 under `jax_enable_x64`."""
    return jnp.result_type(float)


def root(x: jax.Array) -> jax.Array:
    """The square root of x >= 0, with slope 0 instead of inf at 0.

    Never below the root of the smallest normal number, so that 0 / root(0) is 0.
    """
    return jnp.sqrt(jnp.maximum(x, jnp.finfo(x.dtype).tiny))


def floored(x: jax.Array) -> jax.Array:
    """X to divide by: at least the root of the smallest normal number, as `root` is.

    The slope of a quotient has the denominator's square, which must not be 0.
    """
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny ** 0.5)


def denominator(
    nu: jax.Array, eps: Scalar, placement: str, eps_root: Scalar = 0.0, correction: Scalar = 1.0
) -> jax.Array:
    """The root of a second moment, with eps where a paper or a library has it.

    Divides by the correction outside the root, since nu / correction may overflow.

    Args:
      nu: second moment, before its bias correction.
      eps: keeps the denominator off zero.
      placement: with hat = nu / correction, "outside" gives sqrt(hat + eps_root) + eps; "inside"
        gives sqrt(hat + eps_root + eps); "uncorrected" gives
        (sqrt(nu) + eps) / sqrt(correction), Kingma & Ba's epsilon-hat.
      eps_root: added under the root besides.
      correction: the bias of nu, 1 where it is not corrected.
    """
    correction = jnp.asarray(correction, nu.dtype)
    norm = jax.lax.rsqrt(correction)
    if placement == "uncorrected":
        return (root(_plus(nu, eps_root, correction)) + _as(eps, nu)) * norm
    if placement == "inside":
        return root(_plus(nu, eps_root + eps, correction)) * norm
    return root(_plus(nu, eps_root, correction)) * norm + _as(eps, nu)


def descended(
    d: jax.Array, p: jax.Array, rate: Scalar, decay: Scalar | None, independent: bool
) -> jax.Array:
    """The update of a direction: -rate (d + decay p), or -(rate d + decay p) if independent."""
    step = scaled(d, -rate)
    if decay is None:
        return step
    return step - scaled(p, decay if independent else scaled(rate, decay))


def clipped(x: jax.Array, limit: Scalar | jax.Array) -> jax.Array:
    """X with every modulus at most `limit`, a scalar or a real array of x's shape, above 0."""
    if jnp.iscomplexobj(x):
        return scaled(x, jnp.minimum(1.0, _as(limit, x).real / root(jnp.square(jnp.abs(x)))))
    return jnp.clip(x, -_as(limit, x), _as(limit, x))


def bounded(x: jax.Array, limit: Scalar) -> jax.Array:
    """X with what is finite between -limit and limit, so that sums of it stay finite.

    What is not finite is nan, which shows in the update whatever it is rounded to.
    """
    if jnp.iscomplexobj(x):
        return jax.lax.complex(bounded(x.real, limit), bounded(x.imag, limit))
    limit = _as(limit, x)
    return jnp.where(jnp.isfinite(x), jnp.clip(x, -limit, limit), jnp.nan)


def summable(x: jax.Array) -> jax.Array:
    """X with every modulus so limited that all sums of squares and products are finite."""
    return clipped(x, float(jnp.finfo(x.dtype).max / max(x.size, 1)) ** 0.5 / 8)


def norm(x: jax.Array) -> jax.Array:
    """The Euclidean norm of all of x, with slope 0 instead of nan at 0; at most half the largest.

    Divided by the largest modulus before the squares, which neither overflow nor vanish so.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), initial=0.0))
    unit = jnp.where(largest > 0, largest, 1.0)
    parts = jnp.abs(divided(x, unit))
    size = jnp.where(largest > 0, unit * root(jnp.sum(parts * parts)), 0.0)
    return jnp.minimum(size, jnp.finfo(unit.dtype).max / 2)


def corrected(g: jax.Array, before: jax.Array, strength: Scalar) -> jax.Array:
    """MARS's g + strength (g - before), shortened to norm 1 where it is longer."""
    c = g + scaled(g - before, strength)
    return divided(c, jnp.maximum(norm(c), 1.0))


def rms(x: jax.Array) -> jax.Array:
    """The root mean square of all of x; 0 where x has no elements."""
    return norm(x) / math.sqrt(max(x.size, 1))


def mean_over(x: jax.Array, axis: int) -> jax.Array:
    """The mean of x over one axis, kept with length 1; 0 where that is empty."""
    return scaled(jnp.sum(x, axis, keepdims=True), 1 / max(x.shape[axis], 1))


def norm_of_all(norms: list[jax.Array]) -> jax.Array:
    """The norm of all of what has these norms; 0 of nothing."""
    return norm(jnp.stack([wide(x) for x in norms])) if norms else wide(0.0)


def wide(value: Scalar) -> jax.Array:
    """A number as a scalar of the widest dtype that jax has on."""
    return jnp.asarray(value, widest())


def inner_product(x: jax.Array, y: jax.Array) -> jax.Array:
    """The real inner product of all of x and y."""
    return jnp.sum((x.conj() * y).real)


def log(decay: Scalar) -> Scalar:
    """The logarithm of decay, in double precision where decay is a Python number."""
    if isinstance(decay, float | int):
        return math.log(decay) if decay > 0 else -math.inf
    return jnp.log(decay)


def working_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """The dtype to compute in: the parameter's own, but float32 for narrower floats."""
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.dtype(jnp.float32)


def narrowed(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """X in `dtype`; what is finite stays finite by going to the largest number there."""
    if jnp.finfo(dtype).max < jnp.finfo(x.dtype).max:
        x = jnp.clip(x, jnp.finfo(dtype).min.astype(x.dtype), jnp.finfo(dtype).max.astype(x.dtype))
    return x.astype(dtype)


def _as(value: Scalar, like: jax.Array) -> Scalar:
    """An array in like's dtype; Python numbers as they are, since they promote weakly."""
    return jnp.asarray(value, like.dtype) if hasattr(value, "dtype") else value


def _plus(nu: jax.Array, eps: Scalar, correction: jax.Array) -> jax.Array:
    """The nu whose hat is eps larger."""
    if isinstance(eps, float | int) and eps == 0:
        return nu
    return nu + correction * _as(eps, nu)


def _product(x: jax.Array, y: jax.Array) -> jax.Array:
    """The real x * conj(y), where x is a real multiple of y."""
    if jnp.iscomplexobj(x):
        return x.real * y.real + x.imag * y.imag
    return x * y

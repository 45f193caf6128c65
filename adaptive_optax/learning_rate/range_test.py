"""The learning-rate range test: which rates train, and at which training blows up.

Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, arXiv:1506.01186, raises the
rate during one short run and looks at the loss. That is the method "sweep". The method "grid" runs
every rate by itself from the same start on the same batches, and then closes in on the rate at
which training blows up.

    grid    rate_k = lowest (highest / lowest)^(k / (points - 1)),  `steps` updates each
    sweep   rate_t = lowest (highest / lowest)^(t / (steps - 1)),   one run

Why the grid is the accurate one: in a sweep each loss is that of all smaller rates before it, on a
batch of its own, and a direction that starts to grow needs many steps, at rates that rise all the
while, before it shows in the loss. The sweep costs one run in place of some forty.

Departures: the paper reads its plot by eye; the suggestion here is the middle, on a logarithmic
scale, of the rates that do nearly as well as the best.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adaptive_optax.core.checks import check_choice, check_positive, check_steps
from adaptive_optax.core.leaves import is_trained
from adaptive_optax.learning_rate import range_analysis as reading
from adaptive_optax.learning_rate.range_batches import stacked
from adaptive_optax.learning_rate.range_result import RangeResult
from adaptive_optax.learning_rate.range_runs import MakeTx, Problem, runner, start_losses

NAME = "lr_range_test"


def lr_range_test(
    loss_fn: Callable[..., Any],
    params: Any,
    batches: Any,
    make_tx: MakeTx,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    method: str = "grid",
    steps: int = 300,
    points: int = 33,
    at_once: int = 8,
    tolerance: float = 0.02,
    key: jax.Array | None = None,
) -> RangeResult:
    """Finds the learning rates that train, from short runs; params stay as they are.

    Runs that diverge stop by themselves and touch no other. A grid, the accurate method, runs each
    rate by itself; a sweep is one run at a rate that grows, cheap and rough.

    Args:
      loss_fn: `loss_fn(params, batch)`, a scalar; `loss_fn(params)` where batches is None; with a
        random key as a last argument where `key` is given.
      params: where every run starts, a tree of arrays.
      batches: a tree of arrays stacked on a first axis, (n, ...); or a list, an iterator or a data
        loader of batches of one shape, of which `steps` are taken at most; or None. Every run
        sees the same ones in the same order, and again from the first where steps exceed n.
      make_tx: learning rate -> optax transformation, such as `optax.adam`. The rate comes as a
        traced scalar; where that is refused, as a schedule. `update` gets value=, grad= and
        value_fn=, if it takes them.
      lowest: least rate, above 0.
      highest: largest rate, above lowest.
      method: "grid" or "sweep".
      steps: updates of a run, at least 2. More of them liken the test to a whole training, whose
        best rate is smaller than a short run's, and find the edge of divergence more sharply.
      points: rates of the grid, at least 3; not for a sweep.
      at_once: runs at a time, at least 1; memory grows with it. Not for a sweep.
      tolerance: how narrow the bracket around `diverges_at` becomes, in (0, 1): its ends differ by
        that factor less one. Not for a sweep.
      key: random key, for a loss with dropout and the like; each step gets a key of its own, the
        same at all rates.

    Returns:
      The losses by rate, `suggestion`, the range `low` to `high`, and `diverges_at`; print it, or
      `plot()` it.

    Raises:
      TypeError, ValueError: for an argument of the wrong kind or range; where the loss is no
        scalar, or not finite at params; where every rate diverges.

    >>> import jax.numpy as jnp, optax
    >>> curvatures = jnp.array([1.0, 10.0])
    >>> bowl = lambda x: 0.5 * jnp.sum(curvatures * x**2)
    >>> found = lr_range_test(bowl, jnp.ones(2), None, optax.sgd)  # blows up above 2 / 10
    >>> round(found.diverges_at, 2), found.low < found.suggestion < found.high < found.diverges_at
    (0.2, True)
    """
    check_choice(NAME, ("grid", "sweep"), method=method)
    check_positive(NAME, lowest=lowest, highest=highest, tolerance=tolerance)
    check_steps(NAME, steps=steps, points=points, at_once=at_once)
    _check(not lowest < highest, f"highest={highest}", f"must be above lowest={lowest}")
    _check(steps < 2, f"steps={steps}", "must be at least 2")
    _check(points < 3, f"points={points}", "must be at least 3")
    _check(tolerance >= 1, f"tolerance={tolerance}", "must be below 1")
    _check_callable(loss_fn, make_tx)
    problem = _problem(loss_fn, params, batches, steps, key)
    start = start_losses(problem, reading.last_part(steps))
    if not np.all(np.isfinite(start)):
        raise ValueError(
            f"{NAME}(params=...): the loss at params is {start[~np.isfinite(start)][0]}; start "
            f"where it is finite on every batch."
        )
    if method == "sweep":
        return _sweep(problem, make_tx, lowest, highest, steps, start)
    rates = np.geomspace(lowest, highest, points)
    run = runner(problem, make_tx, (min(at_once, points), steps), NAME)
    return _grid(run, rates, min(at_once, points), steps, tolerance, start)


def _grid(run, rates, width: int, steps: int, tolerance: float, start) -> RangeResult:
    """Runs the grid, `width` rates at a time, and reads it."""

    def curves_of(some):
        filled = np.pad(some, (0, -len(some) % width), mode="edge").reshape(-1, width)
        curves = [run(np.repeat(part[:, None], steps, axis=1)) for part in filled]
        return np.concatenate(curves)[: len(some)]

    curves, first = curves_of(rates), float(np.mean(start))
    ends = reading.end_losses(curves)
    limit = reading.limit_above(start, float(np.min(ends)))
    if not np.any(ends <= limit):
        raise _all_lost(rates[0], rates[-1])
    at = reading.first_diverged(ends, limit)
    holds, diverges = float(rates[-1]), math.inf
    if at is not None:
        holds, diverges = float(rates[at - 1]), float(rates[at])
        while diverges / holds - 1 > tolerance:
            inner = np.geomspace(holds, diverges, width + 2)
            lost = np.flatnonzero(~(reading.end_losses(curves_of(inner[1:-1])) <= limit))
            k = int(lost[0]) if len(lost) else width
            holds, diverges = float(inner[k]), float(inner[k + 1])
    smoothed = reading.smooth(reading.clipped(ends, limit))
    choice = reading.choose(rates, smoothed, first, holds)
    return RangeResult(
        method="grid",
        learning_rates=rates,
        losses=ends,
        smoothed=smoothed,
        **choice._asdict(),
        diverges_at=math.sqrt(holds * diverges),
        bracket=(holds, diverges),
        first_loss=first,
        limit=limit,
        steps=steps,
        curves=curves,
    )


def _sweep(problem, make_tx, lowest: float, highest: float, steps: int, start) -> RangeResult:
    """Runs the sweep and reads it."""
    rates = np.geomspace(lowest, highest, steps)
    losses = runner(problem, make_tx, (1, steps), NAME)(rates[None])[0]
    first, reach = float(np.mean(start)), max(1, steps // 20)
    # Clipped for smoothing at what the loss may reach if the least loss is not a lucky batch's.
    finite = reading.clipped(losses, float(np.max(losses[np.isfinite(losses)])))
    limit = reading.limit_above(start, float(np.min(reading.smooth(finite, reach))))
    smoothed = reading.smooth(reading.clipped(losses, limit), reach)
    at = reading.rise(losses, limit)
    edge = math.inf if at is None else float(rates[at])
    choice = reading.choose_in_sweep(rates, smoothed, first, edge)
    return RangeResult(
        method="sweep",
        learning_rates=rates,
        losses=losses,
        smoothed=smoothed,
        **choice._asdict(),
        diverges_at=edge,
        bracket=(edge, edge),
        first_loss=first,
        limit=limit,
        steps=steps,
        curves=losses[None],
    )


def _problem(loss_fn, params, batches, steps: int, key) -> Problem:
    """The loss as a function of parameters, all batches and the step."""
    params = jax.tree.map(jnp.asarray, params)
    batches, count = stacked(NAME, batches, steps)
    trained = [p.dtype for p in jax.tree.leaves(params) if is_trained(p)]
    if not trained:
        raise ValueError(f"{NAME}(params=...): params must hold at least one array of floats.")
    dtype = jnp.finfo(jnp.result_type(jnp.float32, *trained)).dtype

    def loss(params, batches, step):
        more = () if batches is None else (jax.tree.map(lambda x: x[step % count], batches),)
        if key is not None:
            more = (*more, jax.random.fold_in(key, step))
        return loss_fn(params, *more)

    made = jax.eval_shape(loss, params, batches, jnp.zeros((), jnp.int32))
    if getattr(made, "shape", None) != () or not jnp.issubdtype(made.dtype, jnp.floating):
        found = f"{made.dtype}{list(made.shape)}" if hasattr(made, "shape") else type(made).__name__
        raise TypeError(f"{NAME}(loss_fn=...): loss_fn must return a scalar float, not {found}.")
    return Problem(loss, params, batches, dtype)


def _check_callable(loss_fn: Any, make_tx: Any) -> None:
    if not callable(loss_fn):
        raise TypeError(f"{NAME}(loss_fn={loss_fn!r}): loss_fn must be a function of params.")
    if not callable(make_tx):
        raise TypeError(
            f"{NAME}(make_tx={type(make_tx).__name__}): make_tx must be a function from a learning "
            f"rate to a transformation, such as optax.adam, or lambda rate: optax.sgd(rate)."
        )


def _check(wrong: bool, given: str, rule: str) -> None:
    if wrong:
        raise ValueError(f"{NAME}({given}): {given.partition('=')[0]} {rule}.")


def _all_lost(lowest: float, highest: float) -> ValueError:
    return ValueError(
        f"{NAME}(lowest={lowest:g}): training diverges at every rate from {lowest:g} to "
        f"{highest:g}; give a smaller lowest."
    )

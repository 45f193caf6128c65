"""Problems that tell optimizers apart: who must solve each of them, and who must not.

A contender gets the best of a grid of learning rates, with the problem's own schedule; who fails
does so at every rate. All problems are small and deterministic, and run in float64.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao


class Problem(NamedTuple):
    """A field of gradients, and what counts as having solved it."""

    start: Any  # parameters in NumPy
    gradient: Callable[[Any, Any], Any]  # params, input -> gradients
    inputs: np.ndarray  # one a step
    solved: Callable[[Any], bool]  # of the path of the parameters to evaluate
    rates: tuple[float, ...]
    schedule: Callable[[Any, int], Any]  # count, steps -> factor of the rate
    project: Callable[[Any], Any] = lambda p: p


def cooling(count: Any, steps: int) -> Any:
    """Linearly to 0, so that those whose steps do not shrink of themselves come to rest."""
    return 1 - count / steps


def constant(count: Any, steps: int) -> Any:
    return 1.0


def within(limit: float, target: Any = 0.0, late: int = 1, measure: Any = np.mean) -> Any:
    """Whether the late errors are within the limit; nan is not."""
    return lambda path: bool(measure(np.abs(path[-late:] - np.asarray(target))) < limit)


def paths(problem: Problem, make: Callable[[Any], optax.GradientTransformation]) -> list[Any]:
    """The path of the parameters to evaluate for each learning rate, in NumPy."""
    steps = len(problem.inputs)

    def path(start, rate):
        tx = make(lambda count: rate * problem.schedule(count, steps))

        def step(carry, at):
            params, state = carry
            updates, state = tx.update(problem.gradient(params, at), state, params)
            params = problem.project(optax.apply_updates(params, updates))
            return (params, state), ao.eval_params(state, params)

        return jax.lax.scan(step, (start, tx.init(start)), jnp.asarray(problem.inputs))[1]

    with jax.enable_x64(True):
        start = jax.tree.map(jnp.asarray, problem.start)
        found = jax.jit(jax.vmap(path, (None, 0)))(start, jnp.asarray(problem.rates))
        found = jax.tree.map(np.asarray, found)
    return [jax.tree.map(lambda x, i=i: x[i], found) for i in range(len(problem.rates))]


def rotation(seed: int, size: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


DECADES = (1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)
CURVATURES = np.geomspace(1, 1e3, 4)
MATRIX = np.random.default_rng(2).standard_normal((4, 4))
MATRIX /= np.linalg.norm(MATRIX)


def quadratic(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factors a, b of the Hessian of <p, a p b> / 2, of condition 1e6 and with these axes."""
    return left * CURVATURES @ left.T, right * CURVATURES @ right.T


def ill_conditioned(left: np.ndarray, right: np.ndarray) -> Problem:
    """Gradient descent's rate is at most 2e-6, with which the flattest direction hardly moves."""
    a, b = quadratic(left, right)
    rates = (5e-7, 1e-6, 1.9e-6, 1e-5, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)
    end = within(0.01, measure=np.linalg.norm)
    start = left @ MATRIX @ right.T
    return Problem(start, lambda p, _: a @ p @ b, np.arange(600), end, rates, cooling)


def zipf() -> Problem:
    """Counts of features in batches; the rarer half has to be learned, about 10 times each.

    The quadratic of a feature has its frequency for curvature, so that the most frequent one sets
    the stable rate of gradient descent.
    """
    frequency = np.arange(1.0, 513.0) ** -1.2
    draw = np.random.default_rng(0)
    counts = draw.multinomial(256, frequency / frequency.sum(), 200) / 256
    signs = np.where(np.arange(512) % 2, 1.0, -1.0)

    def solved(path):
        return within(0.1, signs[256:])(path[:, 256:])

    rates = (*DECADES, 3.0, 5.0, 7.0, 10.0, 20.0)
    return Problem(np.zeros(512), lambda p, n: n * (p - signs), counts, solved, rates, cooling)


def cauchy() -> Problem:
    """Noise without a mean: an average of such noise is as large as one draw, 1 in the median."""
    noise = np.random.default_rng(0).standard_cauchy((3000, 64))
    end = within(0.5, measure=np.median)
    return Problem(np.full(64, 3.0), lambda p, z: p + z, noise, end, DECADES, cooling)


TARGET = np.array([1.337, -2.119, 1.741, -1.163, 2.951, -2.307])


def kinked(below: float, above: float) -> Problem:
    """A slope on each side of the target, at the constant rate 0.1: a tenth of that is solved."""

    def gradient(p, _):
        return jnp.where(p < TARGET, below, above)

    end = within(0.01, TARGET, late=100)
    return Problem(np.zeros(6), gradient, np.arange(4000), end, (0.1,), constant)


def saddle() -> Problem:
    """A product of four small matrices is to become one: the gradient is cubic in their size."""
    draw = np.random.default_rng(0)
    start = [0.03 * draw.standard_normal((4, 4)) for _ in range(4)]
    target = np.diag([1.0, -0.8, 0.6, 0.4])[:, ::-1]

    def loss(p):
        return ((p[0] @ p[1] @ p[2] @ p[3] - target) ** 2).sum() / 2

    def solved(path):
        return bool(loss([layer[-1] for layer in path]) < 0.1 * loss(start))

    rates = (*DECADES, 0.5, 2.0, 4.0)
    return Problem(start, lambda p, _: jax.grad(loss)(p), np.arange(500), solved, rates, cooling)


def zero_layer() -> Problem:
    """A net whose last layer starts at 0, so that the first one's first gradient is 0.

    The loss has to fall to a fifth, and every weight of the first layer to move, but not by 30,
    where each of its units is -1 or 1 and learns no more.
    """
    draw = np.random.default_rng(0)
    x = draw.standard_normal((16, 4))
    y = 2 * np.tanh(x @ draw.standard_normal((4, 3)))
    start = {"first": draw.standard_normal((4, 8)) / 2, "last": np.zeros((8, 3))}

    def loss(p):
        return jnp.mean((jnp.tanh(x @ p["first"]) @ p["last"] - y) ** 2)

    def solved(path):
        end = {key: path[key][-1] for key in start}
        moved = np.abs(end["first"] - start["first"])
        return bool(loss(end) < 0.2 * loss(start) and moved.min() > 0 and moved.max() < 30)

    rates = (0.03, 0.3, 1.0)
    return Problem(start, lambda p, _: jax.grad(loss)(p), np.arange(100), solved, rates, constant)


def drift() -> Problem:
    """A target that moves on, after 200 loud steps in which the loss counts a thousandfold.

    Who sums or keeps the largest of the squares takes steps of a thousandth ever after, whatever
    the rate is; gradient descent has to be stable in the loud steps.
    """
    at = 5 + 0.01 * np.arange(3000.0)
    loud = np.where(np.arange(3000) < 200, 1000.0, 1.0)

    rates = (1e-3, 1.9e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
    inputs, end = np.stack([at, loud], 1), within(0.5, at[-500:, None], late=500)
    return Problem(np.zeros(1), lambda p, x: x[1] * (p - x[0]), inputs, end, rates, constant)


def reddi() -> Problem:
    """Reddi, Kale & Kumar, 2018: gradient 3 every third step, else -1, on [-1, 1]: best is -1."""
    gradients = np.where(np.arange(6000) % 3 == 0, 3.0, -1.0)
    return Problem(
        np.array([-1.0, 0.0, 1.0]),
        lambda p, g: jnp.full_like(p, g),
        gradients,
        within(0.02, -1.0, measure=np.max),
        (0.1, 0.3, 1.0),
        lambda count, steps: (count + 1.0) ** -0.5,
        lambda p: jnp.clip(p, -1.0, 1.0),
    )


PROBLEMS = {
    "reddi": reddi(),
    "aligned": ill_conditioned(np.eye(4), np.eye(4)),
    "rotated": ill_conditioned(rotation(0, 4), rotation(1, 4)),
    "zipf": zipf(),
    "cauchy": cauchy(),
    "absolute": kinked(-1.0, 1.0),
    "tilted": kinked(-0.75, 0.25),
    "saddle": saddle(),
    "zero-layer": zero_layer(),
    "drift": drift(),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_who_does_nothing_solves_nothing(name):
    problem = PROBLEMS[name]
    assert not any(map(problem.solved, paths(problem, lambda rate: optax.set_to_zero())))

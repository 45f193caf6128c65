"""The task `regression`: ten tanh units on a noisy line, full-batch, in float64.

Data and first weights are NumPy's draws from seed 42, in a fixed order, so that the losses are
known to the last digits. Validation and test examples are drawn after them.
"""

import jax.numpy as jnp
import numpy as np

from adaptive_optax.comparison.tasks.task import Split, Task

EXAMPLES, UNITS, SEED = 100, 10, 42


def regression() -> Task:
    """The line y = 5 x + 1 with noise, x in [0, 1)."""
    draws = np.random.RandomState(SEED)
    train = _examples(draws)
    first = _weights(draws)
    validation, test = _examples(draws), _examples(draws)

    def init(seed):
        return first if seed == 0 else _weights(np.random.RandomState(SEED + seed))

    def apply(params, x):
        hidden = jnp.tanh(x @ params["W1"] + params["b1"])
        return hidden @ params["W2"] + params["b2"]

    def squared_error(outputs, targets):
        return jnp.square(outputs - targets)[:, 0]

    return Task(
        "regression",
        init=init,
        apply=apply,
        loss=squared_error,
        metric=squared_error,
        train=train,
        validation=validation,
        test=test,
        batch_size=None,
        epochs=1000,
        seeds=1,
        target=0.3,
        metric_name="squared error",
        larger_is_better=False,
        float64=True,
        list_losses_every=100,
    )


def _examples(draws: np.random.RandomState) -> Split:
    x = draws.rand(EXAMPLES, 1)
    return Split(x, 5 * x + 0.5 * draws.randn(EXAMPLES, 1) + 1)


def _weights(draws: np.random.RandomState) -> dict[str, np.ndarray]:
    return {
        "W1": draws.randn(1, UNITS),
        "b1": np.zeros((1, UNITS)),
        "W2": draws.randn(UNITS, 1),
        "b2": np.zeros((1, 1)),
    }

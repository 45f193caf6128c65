"""Two tasks of real text, large enough for `stored` to compress, small enough for two cores.

    dense    the next character from the sixteen before it: every weight matrix gets a gradient
    sparse   the next word from the four before it: of the 2,048 rows of its embedding, where 80 %
             of the parameters are, 111 get a gradient in a step, and half of the rows get one less
             than every sixty steps

The text is that of Python's own help, `pydoc_data.topics`. Losses are nats a character or a word,
far from 0 at the end, so that a relative difference means something.
"""

import re
from collections import Counter
from collections.abc import Callable
from pydoc_data.topics import topics
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

CHARACTERS = 2**17 + 16  # of the text's 465,000
OUTPUTS = 128  # at least the 103 different characters, so that the last layer is compressed
WORDS, TARGETS = 2048, 256  # the most frequent ones; the last stands for all that are rarer


class Task(NamedTuple):
    """What is trained, and on what."""

    init: Callable[[Any], Any]  # key -> params
    loss: Callable[[Any, Any], Any]  # params, windows -> mean loss
    windows: np.ndarray  # (examples, context + 1), the last column is to be predicted


def dense() -> Task:
    """68,000 parameters: embedding 16, two hidden layers of 128, one with a residual."""
    text = np.frombuffer(_text().encode()[:CHARACTERS], np.uint8)
    known, codes = np.unique(text, return_inverse=True)

    def init(key):
        keys = jax.random.split(key, 4)
        return {
            "embedding": jax.random.normal(keys[0], (len(known), 16)),
            "first": layer(keys[1], 16 * 16, 128),
            "second": layer(keys[2], 128, 128),
            "last": layer(keys[3], 128, OUTPUTS),
        }

    def loss(params, windows):
        x = params["embedding"][windows[:, :-1]].reshape(len(windows), -1)
        x = jax.nn.gelu(through(params["first"], x))
        x = x + jax.nn.gelu(through(params["second"], x))
        return cross_entropy(through(params["last"], x), windows[:, -1])

    return Task(init, loss, _windows(codes, 17))


def sparse() -> Task:
    """164,000 parameters: embedding 2,048 by 64, one hidden layer of 64."""
    words = re.findall(r"\w+|[^\w\s]|\n", _text().lower())
    rank = {word: k for k, (word, _) in enumerate(Counter(words).most_common())}
    codes = np.array([min(rank[word], WORDS - 1) for word in words])
    windows = _windows(codes, 5)
    windows[:, -1] = np.minimum(windows[:, -1], TARGETS - 1)

    def init(key):
        keys = jax.random.split(key, 3)
        return {
            "embedding": jax.random.normal(keys[0], (WORDS, 64)),
            "first": layer(keys[1], 4 * 64, 64),
            "last": layer(keys[2], 64, TARGETS),
        }

    def loss(params, windows):
        x = params["embedding"][windows[:, :-1]].reshape(len(windows), -1)
        x = jax.nn.gelu(through(params["first"], x))
        return cross_entropy(through(params["last"], x), windows[:, -1])

    return Task(init, loss, windows)


TASKS = {"dense": dense, "sparse": sparse}


def layer(key: Any, inputs: int, outputs: int) -> dict[str, Any]:
    """Weights and biases."""
    kernel = jax.random.normal(key, (inputs, outputs)) * (2 / inputs) ** 0.5
    return {"kernel": kernel, "bias": jnp.zeros(outputs)}


def through(layer: dict[str, Any], x: Any) -> Any:
    """A layer's outputs."""
    return x @ layer["kernel"] + layer["bias"]


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean over the examples."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def _text() -> str:
    return "\n".join(topics[name] for name in sorted(topics))


def _windows(codes: np.ndarray, length: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(codes.astype(np.int32), length).copy()

"""Layers from the names of parameters: what libraries write, and what does not tell."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

from adaptive_optax.comparison.tasks.models import LeNet5
from adaptive_optax.learning_rate.layers import layer_of, layers_of

X = jnp.zeros(2)
MODULE = {"kernel": X, "bias": X}


def names(params, layers=None):
    return list(layers_of(params, layers))


class Deep(nn.Module):
    @nn.compact
    def __call__(self, x):
        for _ in range(12):
            x = nn.Dense(2)(x)
        return x


def test_linen_numbers_count_as_numbers():
    params = jax.eval_shape(lambda: Deep().init(jax.random.key(0), jnp.ones((1, 2))))
    assert names(params) == [f"params/Dense_{i}" for i in range(12)]
    found = layers_of(params)["params/Dense_10"]
    assert found == ["params/Dense_10/bias", "params/Dense_10/kernel"]
    # Leaves come alphabetically, two a layer: Dense_0, Dense_1, Dense_10, Dense_11, Dense_2, ...
    assert layer_of(params).depths[:10:2] == (0, 1, 10, 11, 2)


def test_lenet_has_its_convolutions_first():
    params = jax.eval_shape(lambda: LeNet5().init(jax.random.key(0), jnp.ones((1, 32, 32, 1))))
    kinds = ["PatchConv_0", "PatchConv_1", "Dense_0", "Dense_1", "Dense_2"]
    assert names(params) == [f"params/{kind}" for kind in kinds]


class Model(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.embed = nnx.Embed(2, 2, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(2, 2, rngs=rngs) for _ in range(11)])
        self.norm = nnx.LayerNorm(2, rngs=rngs)
        self.head = nnx.Linear(2, 2, rngs=rngs)


def test_nnx_state_and_its_gradients():
    params = nnx.state(Model(), nnx.Param)
    expected = ["embed", *(f"blocks/{i}" for i in range(11)), "head + norm"]
    assert names(params) == expected
    assert layers_of(params)["embed"] == ["embed/embedding"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ([X, X, X], [["0"], ["1"], ["2"]]),
        ([(X, X), (), (X, X)], [["0/0", "0/1"], ["2/0", "2/1"]]),
        ({"w2": X, "b2": X, "w1": X, "b1": X}, [["b1", "w1"], ["b2", "w2"]]),
        ({"w": X, "b": X}, [["b", "w"]]),
        (X, [["the root"]]),
        ({"params": {"LayerNorm_0": {"scale": X}}}, [["params/LayerNorm_0/scale"]]),
        ({"layers.0.w": X, "layers.10.w": X, "layers.2.w": X}, "0 2 10"),
    ],
)
def test_plain_trees(params, expected):
    if isinstance(expected, str):
        expected = [[f"layers.{i}.w"] for i in expected.split()]
    assert list(layers_of(params).values()) == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {"mlp/~/linear_1": {"w": X}, "mlp/~/linear_0": {"w": X}, "mlp/~/linear_10": {"w": X}},
            ["mlp/linear_0", "mlp/linear_1", "mlp/linear_10"],
        ),
        ({"linear_1": MODULE, "linear": MODULE}, ["linear", "linear_1"]),
        (
            {
                "embedding": MODULE,
                "cls": X,
                "Transformer": {
                    "posembed_input": {"pos_embedding": X},
                    **{f"encoderblock_{i}": {"Mlp_0": {"Dense_0": MODULE}} for i in (0, 1, 10)},
                    "encoder_norm": MODULE,
                },
                "head": MODULE,
            },
            [
                "cls + embedding + Transformer/posembed_input",
                *(f"Transformer/encoderblock_{i}" for i in (0, 1, 10)),
                "Transformer/encoder_norm + head",
            ],
        ),
        (
            {
                "bert": {
                    "embeddings": {"word": MODULE, "LayerNorm": MODULE},
                    "encoder": {"layer": {str(i): {"attention": MODULE} for i in range(2)}},
                    "pooler": {"dense": MODULE},
                },
                "classifier": MODULE,
            },
            [
                "bert/embeddings",
                "bert/encoder/layer/0",
                "bert/encoder/layer/1",
                "bert/pooler + classifier",
            ],
        ),
        (
            {
                "transformer": {
                    "wte": MODULE,
                    "wpe": MODULE,
                    "h": {"0": MODULE, "1": MODULE},
                    "ln_f": MODULE,
                },
                "lm_head": MODULE,
            },
            [
                "transformer/wpe + transformer/wte",
                "transformer/h/0",
                "transformer/h/1",
                "transformer/ln_f + lm_head",
            ],
        ),
        (
            {"conv_init": MODULE, "ResNetBlock_0": MODULE, "ResNetBlock_1": MODULE, "Dense_0": X},
            ["conv_init", "ResNetBlock_0", "ResNetBlock_1", "Dense_0"],
        ),
        (
            {"encoder": {"layers_3": X, "layers_0": X}, "decoder": [X], "embed": X, "logits": X},
            ["embed", "encoder/layers_0", "encoder/layers_3", "decoder/0", "logits"],
        ),
        (
            {"Conv_0": X, "Conv_1": X, "BatchNorm_0": X, "BatchNorm_1": X, "Dense_0": X},
            ["Conv_0", "Conv_1", "Dense_0"],
        ),
        ({"ConvNet_0": {"Conv_0": X, "Conv_1": X}}, ["ConvNet_0/Conv_0", "ConvNet_0/Conv_1"]),
    ],
)
def test_names_of_libraries(params, expected):
    assert names(params) == expected


@pytest.mark.parametrize(
    "params",
    [
        {"actor": MODULE, "critic": MODULE},
        {"kernel": X, "inner": {"bias": X, "scale": X}},
        {"Dense_0": X, "Dense_1": X, "Block_0": X},  # before and after the block
        {"Dense_0": X, "Block_0": X},  # before or after it
        {"Conv_0": X, "Block_0": X},
        {"Dense_0": X, "Dense_1": X, "Dense_2": X, "LayerNorm_0": X},
        {"Conv_0": X, "Dense_0": X, "BatchNorm_0": X},
        {"linear": X, "linear_0": X},
        {"down_0": X, "down_1": X, "up_0": X, "up_1": X},
        {"trunk": {"left": MODULE, "right": MODULE}, "head": MODULE},
    ],
)
def test_names_that_do_not_tell(params):
    with pytest.raises(ValueError, match=r"^layer_of\(layers=None\): the names do not tell the or"):
        layer_of(params)
    with pytest.raises(ValueError, match=r"give layers=, a list of regular expressions"):
        layer_of(params)


def test_masked_and_missing_leaves_keep_their_place():
    whole = {"Dense_0": X, "Dense_1": X, "Dense_2": X}
    assert layer_of({**whole, "Dense_2": None}).depths == (0, 1, 2)
    hidden = layer_of({**whole, "Dense_2": optax.MaskedNode()})
    assert hidden == (("Dense_0", "Dense_1", "Dense_2"), (0, 1))
    assert layers_of({**whole, "Dense_1": optax.MaskedNode()})["Dense_1"] == []
    assert layer_of({}) == ((), ()) == layer_of({}, ["a"])


DENSE = {f"Dense_{i}": MODULE for i in range(12)}


def test_expressions():
    """Of which a number at the end is the whole number, and the first that fits counts."""
    by_name = layer_of(DENSE, [f"Dense_{i}" for i in range(12)])
    assert by_name.depths == layer_of(DENSE).depths
    groups = layers_of(DENSE, [r"Dense_[0-4]", r"bias", r"Dense_\d+"])
    assert [len(paths) for paths in groups.values()] == [10, 7, 7]
    assert list(groups) == [r"Dense_[0-4]", "bias", r"Dense_\d+"]


def test_a_function_of_the_path():
    assert layer_of({"a": X, "b": X}, lambda path: 2 * (path == "b")).depths == (0, 2)
    assert names({"a": X, "b": X}, lambda path: 2 * (path == "b")) == [
        "layer 0",
        "layer 1",
        "layer 2",
    ]


@pytest.mark.parametrize(
    ("layers", "kind", "message"),
    [
        ("Dense", TypeError, r"layer_of\(layers='Dense'\): layers must be a list of regular"),
        (3, TypeError, r"layer_of\(layers=3\): layers must be a list"),
        (["("], ValueError, r"layer_of\(layers\[0\]='\('\): it must be a regular expression"),
        ([1], ValueError, r"layer_of\(layers\[0\]=1\): it must be a regular expression"),
        (["a"], ValueError, r"b/c matches none of \['a'\]; give an expression for it"),
        (["a|b", "z"], ValueError, r"layers\[1\]='z'\): no parameter is left for it, of a, b/c"),
        (lambda path: 1.5, TypeError, r"layers\('a'\) gave 1.5; it must give the number"),
        (lambda path: True, TypeError, r"layers\('a'\) gave True"),
        (lambda path: -1, ValueError, r"layers\('a'\) gave -1; it must be at least 0"),
    ],
)
def test_errors(layers, kind, message):
    with pytest.raises(kind, match=message):
        layer_of({"a": X, "b": {"c": X}}, layers)

"""What is no tree of arrays is refused by the functions that read one, with its place in it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao

TX = ao.adam(1e-3)
PARAMS = {"w": jnp.ones((2, 3))}
READERS = {
    "state_bytes": lambda params: ao.state_bytes(TX, params),
    "explain": lambda params: ao.explain(TX, params),
    "report": lambda params: ao.sharding.report(TX, params),
    "state_shardings": lambda params: ao.state_shardings(TX, params),
    "load_state_dict": lambda params: ao.load_state_dict(
        TX, params, ao.state_dict(TX.init(PARAMS)), strict=False
    ),
}
REFUSED = {"text": "some", "function": len, "words": np.array(["a"]), "objects": np.array([{}])}
ON_ONE = jax.sharding.SingleDeviceSharding(jax.devices()[0])
TAKEN = {
    "array": jnp.ones(3),
    "numpy": np.ones(3, np.float32),
    "number": 1.0,
    "shape": jax.ShapeDtypeStruct((3,), jnp.bfloat16, sharding=ON_ONE),
    "none": None,
    "key": jax.random.key(0),
    "float0": np.zeros(3, jax.dtypes.float0),
}


@pytest.mark.parametrize("leaf", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("name", READERS)
def test_it_is_refused_by_its_place(name, leaf):
    with pytest.raises(TypeError, match=rf"^{name}\(params=...\): the leaf at \['a'\]\[1\] is"):
        READERS[name](PARAMS | {"a": [1.0, leaf]})


@pytest.mark.parametrize("leaf", TAKEN.values(), ids=TAKEN)
def test_what_an_optimizer_takes_is_taken(leaf):
    assert ao.state_bytes(TX, PARAMS | {"a": leaf}) >= ao.state_bytes(TX, PARAMS)
    assert str(ao.explain(TX, PARAMS | {"a": leaf}))


@pytest.mark.parametrize("folder", [3, None, ["a"]])
def test_a_folder_is_a_path(folder):
    with pytest.raises(TypeError, match=r"^save_checkpoint\(folder=.*\): folder must be a path"):
        ao.save_checkpoint(folder, 1, PARAMS)
    with pytest.raises(TypeError, match=r"^restore_checkpoint\(folder=.*\): folder must be a path"):
        ao.restore_checkpoint(folder, PARAMS)


def test_a_masked_tree_is_one_of_arrays():
    masked = {"w": PARAMS["w"], "b": optax.MaskedNode()}
    assert ao.state_bytes(TX, masked) == ao.state_bytes(TX, PARAMS)

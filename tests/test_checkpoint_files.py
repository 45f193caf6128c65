import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax.checkpoint import checksummed_file, manifest, through_orbax


def tree(seed):
    """Of every kind of leaf that a run keeps."""
    draws = np.random.RandomState(seed)
    params = {"w": jnp.asarray(draws.randn(4, 3), jnp.bfloat16), "b": jnp.zeros(3), "none": None}
    state = ao.adamw(1e-3).init(params)
    return {
        "params": params,
        "state": state,
        "key": jax.random.key(seed),
        "other_key": jax.random.key(seed, impl="rbg"),
        "keys": jax.random.split(jax.random.key(seed), 3),
        "step": seed,
        "name": f"run {seed}",
        "best": float("inf") if seed else 0.1,
        "done": bool(seed % 2),
        "weak": jnp.asarray(float(seed)),
        "empty": jnp.zeros((0, 3), jnp.int8),
        "float0": np.zeros(2, jax.dtypes.float0),
        "numpy": draws.randn(5),
        "scalar": np.float32(seed),
        "narrow": jnp.asarray(draws.randint(-8, 8, 6), jnp.int4),
        "complex": jnp.asarray(draws.randn(2) * 1j, jnp.complex64),
        "nothing": optax.EmptyState(),
    }


def bits(x):
    if not hasattr(x, "dtype"):
        return type(x), x
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        return str(x.dtype), np.asarray(jax.random.key_data(x)).tobytes()
    weak = getattr(x, "weak_type", None)
    return isinstance(x, jax.Array), x.dtype, x.shape, weak, np.asarray(x).tobytes()


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert bits(a) == bits(b)


def small(k):
    return {"w": jnp.arange(4.0) + k, "n": k}


LIKE = small(0)


@pytest.fixture
def three(tmp_path):
    """A folder with checkpoints of steps 0, 10 and 20, and their folders."""
    return tmp_path, [ao.save_checkpoint(tmp_path, 10 * k, small(k)) for k in range(3)]


def test_every_kind_of_leaf_comes_back_bit_for_bit(tmp_path):
    path = ao.save_checkpoint(tmp_path / "new" / "folder", 3, tree(3))
    assert path.is_dir()
    step, found = ao.restore_checkpoint(str(tmp_path / "new" / "folder"), tree(0))
    assert step == 3
    assert_same(found, tree(3))


def test_shapes_are_enough_to_restore(tmp_path):
    state = ao.adam(1e-3).init(jnp.ones(3))
    saved = {"state": state, "key": jax.random.key(1), "none": jnp.zeros(0)}
    ao.save_checkpoint(tmp_path, 0, saved)
    assert_same(ao.restore_checkpoint(tmp_path, jax.eval_shape(lambda: saved))[1], saved)


def test_a_tree_without_arrays(tmp_path):
    ao.save_checkpoint(tmp_path, 0, {"n": 2**70, "x": None})
    assert ao.restore_checkpoint(tmp_path, {"n": 0, "x": None}) == (0, {"n": 2**70, "x": None})


def test_arrays_come_back_where_they_were(tmp_path):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.NamedSharding(mesh, jax.P("x"))
    saved = {"w": jax.device_put(jnp.arange(16.0), spread), "count": jnp.zeros((), jnp.int32)}
    ao.save_checkpoint(tmp_path, 0, saved)
    found = ao.restore_checkpoint(tmp_path, saved)[1]
    assert found["w"].sharding == spread
    assert (found["w"] * found["count"]).sharding == spread  # count goes where it is needed
    one = ao.restore_checkpoint(tmp_path, {"w": jnp.zeros(16), "count": saved["count"]})[1]
    assert_same(jax.device_get(one), jax.device_get(saved))


def test_the_last_ones_are_kept_in_the_order_of_writing(tmp_path):
    for step in (50, 60, 70, 10, 10):
        ao.save_checkpoint(tmp_path, step, small(step))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00000002_step_70", "00000003_step_10", "00000004_step_10"]
    assert ao.restore_checkpoint(tmp_path, LIKE)[0] == 10
    ao.save_checkpoint(tmp_path, jnp.asarray(11), small(11), keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["00000005_step_11"]


def files_of(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def flip(path, at=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [flip, cut, lambda path: path.unlink()])
def test_damage_to_any_file_is_told_and_the_one_before_is_used(three, harm):
    root, paths = three
    aside = root.parent / (root.name + "_aside")
    shutil.copytree(paths[2], aside)
    for file in files_of(aside):
        if not file.stat().st_size:
            continue
        shutil.rmtree(paths[2])
        shutil.copytree(aside, paths[2])
        name = file.relative_to(aside).as_posix()
        harm(paths[2] / name)
        with pytest.warns(UserWarning, match=rf"00000002_step_20: {name}.* passed over for 00000"):
            step, found = ao.restore_checkpoint(root, LIKE)
        assert step == 10
        assert_same(found, small(1))


def test_every_byte_of_the_manifest_counts(three):
    path = three[1][2] / manifest.NAME
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        for mask in (1, 32, 128):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
            with pytest.raises(checksummed_file.DamagedError, match=manifest.NAME):
                manifest.read_manifest(path.parent)


def test_where_all_are_damaged_each_is_told(three):
    root, paths = three
    flip(next(path for path in files_of(paths[0]) if path.name == "_METADATA"))
    cut(paths[1] / manifest.NAME)
    (paths[2] / manifest.NAME).unlink()
    with pytest.raises(ValueError, match="every checkpoint in it is damaged") as caught:
        ao.restore_checkpoint(root, LIKE)
    for words in ("_METADATA has other bytes", "is cut off", "manifest.json is missing"):
        assert words in str(caught.value)
    assert len(ao.save_checkpoint(root, 30, small(3)).name) > 0
    assert ao.restore_checkpoint(root, LIKE)[0] == 30


def test_another_version_is_told(three):
    words = manifest.read_manifest(three[1][2])
    (three[1][2] / manifest.NAME).unlink()
    manifest.write_manifest(three[1][2], words | {"version": 99})
    with pytest.warns(UserWarning, match="its version is 99, and this library reads 1"):
        assert ao.restore_checkpoint(three[0], LIKE)[0] == 10


def test_there_is_none(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match="there is no checkpoint in it; begin anew"):
            ao.restore_checkpoint(folder, LIKE)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (
            {"w": jnp.zeros(5), "n": 0},
            r"float32\[4\] at \['w'\], but `like` has float32\[5\] there",
        ),
        ({"w": jnp.zeros(4, jnp.int32), "n": 0}, r"float32\[4\] at \['w'\], but `like` has int32"),
        ({"v": jnp.zeros(4), "n": 0}, r"float32\[4\] at \['w'\] where `like` has .* at \['v'\]"),
        ({"n": 0}, r"float32\[4\] at \['w'\] where `like` has nothing"),
        ({"w": LIKE["w"], "n": 0, "z": 1}, r"has nothing where `like` has int\[\] at \['z'\]"),
        ({"w": None, "n": 0}, r"`like` has None\[\] there"),
    ],
)
def test_another_tree_is_refused_with_the_path(three, like, message):
    with pytest.raises(ValueError, match=message):
        ao.restore_checkpoint(three[0], like)


def test_arguments_are_checked(tmp_path):
    with pytest.raises(TypeError, match=r"save_checkpoint\(step=1.5\): step must be an integer"):
        ao.save_checkpoint(tmp_path, 1.5, LIKE)
    with pytest.raises(TypeError, match=r"save_checkpoint\(step=True\): step must be an integer"):
        ao.save_checkpoint(tmp_path, True, LIKE)
    with pytest.raises(ValueError, match=r"save_checkpoint\(step=-1\): step must be at least 0"):
        ao.save_checkpoint(tmp_path, -1, LIKE)
    with pytest.raises(ValueError, match=r"save_checkpoint\(keep=0\): keep must be at least 1"):
        ao.save_checkpoint(tmp_path, 1, LIKE, keep=0)
    with pytest.raises(TypeError, match=r"save_checkpoint: at \['f'\] the leaf is <function"):
        ao.save_checkpoint(tmp_path, 1, {"f": cut})
    with pytest.raises(TypeError, match=r"at the root the leaf is array\(.*dtype=object"):
        ao.save_checkpoint(tmp_path, 1, np.array([print]))
    assert not list(tmp_path.iterdir())


def test_one_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(NotImplementedError, match="it writes from one process, and here are 2"):
        ao.save_checkpoint(tmp_path, 1, LIKE)


def test_orbax_missing_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match="save_checkpoint: orbax is missing; install it with"):
        ao.save_checkpoint(tmp_path, 1, LIKE)
    with pytest.raises(ImportError, match="restore_checkpoint: orbax is missing"):
        ao.restore_checkpoint(tmp_path, LIKE)


def test_what_orbax_raises_on_whole_files_names_them(three, monkeypatch):
    def fails(*words):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(through_orbax, "read", fails)
    with pytest.raises(RuntimeError) as caught:
        ao.restore_checkpoint(three[0], LIKE)
    assert "00000002_step_20, whose files are undamaged" in caught.value.__notes__[0]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"save_checkpoint\(folder=.*file.*give another folder"):
        ao.save_checkpoint(tmp_path / "file", 1, LIKE)


def test_importing_the_package_imports_no_orbax():
    code = "import sys, adaptive_optax; assert 'orbax.checkpoint' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

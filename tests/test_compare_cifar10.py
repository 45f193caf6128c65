import pickle

import numpy as np
import pytest

from adaptive_optax.comparison import compare
from adaptive_optax.comparison.tasks import cifar10_files
from adaptive_optax.comparison.tasks.cifar10 import cifar10

EACH = 20
NAMES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


def batch(seed):
    draws = np.random.RandomState(seed)
    return draws.randint(0, 256, (EACH, 3072)).astype(np.uint8), [k % 10 for k in range(EACH)]


def write_python(folder, protocol=2, key=bytes.decode):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(NAMES):
        data, labels = batch(seed)
        content = {key(b"data"): data, key(b"labels"): labels, key(b"batch_label"): "x"}
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))


def write_binary(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(NAMES):
        data, labels = batch(seed)
        rows = np.column_stack([np.array(labels, np.uint8), data])
        (folder / f"{name}.bin").write_bytes(rows.tobytes())


def as_python_2_wrote_it(data, labels):
    """The pickle of the published files: protocol 2, Python 2's strings, NumPy's old names."""

    def short(text):
        return b"U" + bytes([len(text)]) + text

    def integer(value):
        return b"J" + value.to_bytes(4, "little", signed=True)

    dtype = b"cnumpy\ndtype\n" + short(b"u1") + integer(0) + integer(1) + b"\x87R(" + integer(3)
    dtype += short(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    raw = data.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + integer(0) + b"\x85"
    array += short(b"b") + b"\x87R(" + integer(1)
    array += integer(data.shape[0]) + integer(data.shape[1]) + b"\x86" + dtype + b"\x89"
    array += b"T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    listed = b"](" + b"".join(map(integer, labels)) + b"e"
    return b"\x80\x02}(" + short(b"data") + array + short(b"labels") + listed + b"u."


@pytest.mark.parametrize("folder", ["", "cifar-10-batches-py"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_python_batches(tmp_path, folder, protocol):
    write_python(tmp_path / folder, protocol)
    pictures, labels, test_pictures, _ = cifar10_files.read(tmp_path)
    assert pictures.shape == (5 * EACH, 32, 32, 3)
    assert test_pictures.shape == (EACH, 32, 32, 3)
    assert pictures.dtype == np.uint8
    data, expected = batch(0)
    assert pictures[3, 4, 5].tolist() == [data[3, c * 1024 + 4 * 32 + 5] for c in range(3)]
    assert labels[:EACH].tolist() == expected


def test_python_2_pickles_are_read(tmp_path):
    write_python(tmp_path)
    data, labels = batch(0)
    expected = cifar10_files.read(tmp_path)
    (tmp_path / NAMES[0]).write_bytes(as_python_2_wrote_it(data, labels))
    for one, other in zip(cifar10_files.read(tmp_path), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("folder", ["", "cifar-10-batches-bin"])
def test_both_formats_hold_the_same(tmp_path, folder):
    write_python(tmp_path / "python")
    write_binary(tmp_path / "binary" / folder)
    python = cifar10_files.read(tmp_path / "python")
    for one, other in zip(python, cifar10_files.read(tmp_path / "binary"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_the_task_trains_on_them(tmp_path):
    write_binary(tmp_path)
    task = cifar10(tmp_path)
    assert (task.train.size, task.validation.size, task.test.size) == (90, 10, 20)
    assert (task.epochs, task.batch_size) == (200, 128)
    assert abs(task.train.inputs.mean()) < 1e-3
    found = compare("cifar10", "adam", data_dir=tmp_path, epochs=1, seeds=1, grid=1)
    assert np.isfinite(found.rows[0].test_metric).all()


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        cifar10_files.read(tmp_path)
    text = str(caught.value)
    for word in (str(tmp_path), "data_batch_1", "cifar-10-batches-py", "cifar-10-python.tar.gz"):
        assert word in text
    with pytest.raises(FileNotFoundError, match="downloads nothing"):
        cifar10_files.read(None)


def test_one_missing_is_named(tmp_path):
    write_python(tmp_path)
    (tmp_path / "data_batch_3").unlink()
    with pytest.raises(FileNotFoundError, match="data_batch_3 missing in"):
        cifar10_files.read(tmp_path)


def test_truncated_files(tmp_path):
    write_python(tmp_path / "py")
    path = tmp_path / "py" / "data_batch_2"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="data_batch_2 is damaged"):
        cifar10_files.read(tmp_path / "py")
    write_binary(tmp_path / "bin")
    path = tmp_path / "bin" / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"test_batch.bin is damaged: .* no whole number"):
        cifar10_files.read(tmp_path / "bin")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="holds no pictures"):
        cifar10_files.read(tmp_path / "bin")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"not a pickle", "damaged"),
        (pickle.dumps([1, 2]), "no dictionary"),
        (pickle.dumps({"data": 1}), "no 'data' and 'labels'"),
        (pickle.dumps({"data": [1], "labels": [1]}), "no array of bytes"),
        (pickle.dumps({"data": np.zeros((2, 5), np.uint8), "labels": [1, 2]}), "have shape"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": ["a", "b"]}), "integers"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}), "but 1 labels"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1, 10]}), "0 to 9"),
    ],
)
def test_damaged_pickles(tmp_path, content, why):
    write_python(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(ValueError, match=f"data_batch_1 is damaged: .*{why}|is damaged") as caught:
        cifar10_files.read(tmp_path)
    assert why in str(caught.value)


class Harm:
    """A pickle that writes a file when it is read."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return exec, (f"open({self.target!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_cannot_run_code(tmp_path, protocol):
    write_python(tmp_path)
    harm = pickle.dumps({"data": Harm(tmp_path / "harmed"), "labels": []}, protocol=protocol)
    (tmp_path / "test_batch").write_bytes(harm)
    with pytest.raises(ValueError, match=r"builtins?__?\.exec|builtin.*exec"):
        cifar10_files.read(tmp_path)
    assert not (tmp_path / "harmed").exists()


def test_a_pickle_cannot_reach_through_what_is_allowed(tmp_path):
    write_python(tmp_path)
    for text in (b"cnumpy\nload\n.", b"c_codecs\ndecode\n.", b"cnumpy\nndarray.tofile\n."):
        (tmp_path / "test_batch").write_bytes(text)
        with pytest.raises(ValueError, match="which no data file needs"):
            cifar10_files.read(tmp_path)

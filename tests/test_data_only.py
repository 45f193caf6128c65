"""Files from outside are data: nothing in them is unpickled, evaluated or imported."""

import ast
import pickle
import shutil
from pathlib import Path

import jax.numpy as jnp
import pytest

import adaptive_optax as ao
from adaptive_optax import cli
from adaptive_optax.checkpoint import checksummed_file, manifest
from adaptive_optax.comparison import resume_store
from adaptive_optax.logging.read_log import read_log

PACKAGE = Path(ao.__file__).parent
BANNED = {  # what makes code of data
    *("eval", "exec", "compile", "__import__", "execfile"),
    *("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"),
    *("literal_eval", "allow_pickle", "os.system", "subprocess"),
}
USED = {  # file, word: why it is no danger
    (
        "core/transformation.py",
        "pickle",
    ): "pickles an option, to name one that cannot be; reads none",
    ("comparison/tasks/cifar10_files.py", "pickle"): "an unpickler of arrays and containers only",
}


def words_of(tree):
    """The names that a file imports, calls, and gives as keywords."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):  # jax's `.lower(...).compile()` is no compile()
                yield called.id
            yield ast.unparse(called)
            yield from (each.arg for each in node.keywords if each.arg)


def test_no_file_makes_code_of_data():
    found = {
        (path.relative_to(PACKAGE).as_posix(), word)
        for path in PACKAGE.rglob("*.py")
        for word in words_of(ast.parse(path.read_text()))
        if word in BANNED or word in ("np.load", "numpy.load", "jnp.load")
    }
    assert found == set(USED)


class Harm:
    """A pickle that writes a file when it is read."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return exec, (f"open({self.target!r}, 'w').close()",)


@pytest.fixture
def harm(tmp_path):
    """A malicious pickle's bytes; the fixture fails where they were run."""
    target = tmp_path / "harmed"
    yield pickle.dumps(Harm(target), protocol=2)
    assert not target.exists()


def test_the_pickle_would_do_harm(tmp_path):
    pickle.loads(pickle.dumps(Harm(tmp_path / "harmed")))
    assert (tmp_path / "harmed").exists()


LIKE = {"w": jnp.arange(4.0)}


def test_in_any_file_of_a_checkpoint(harm, tmp_path):
    """Refused by its digest; and with digests made to fit, Orbax finds no numbers in it."""
    first = ao.save_checkpoint(tmp_path / "run", 1, LIKE)
    names = [p.relative_to(first) for p in first.rglob("*") if p.is_file()]
    assert len(names) > 4
    for k, name in enumerate(names):
        forged = tmp_path / f"forged_{k}"
        shutil.copytree(tmp_path / "run", forged)
        folder = forged / first.name
        (folder / name).write_bytes(harm)
        with pytest.raises(ValueError, match=f"every checkpoint in it is damaged.*\n.*{name}"):
            ao.restore_checkpoint(forged, LIKE)
        if name.name == manifest.NAME:
            continue
        words = manifest.read_manifest(first)
        (folder / manifest.NAME).unlink()
        manifest.write_manifest(folder, words)
        try:  # some files Orbax does not need
            found = ao.restore_checkpoint(forged, LIKE)[1]
        except Exception:
            continue
        assert found["w"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_in_a_forged_manifest(harm, tmp_path):
    path = ao.save_checkpoint(tmp_path / "run", 1, LIKE)
    outside = tmp_path / "outside"
    outside.write_bytes(harm)
    for files in ({"../../outside": [outside.stat().st_size, "0" * 64]}, [], {"a": [1]}, 3):
        text = '{"words": {"version": 1}, "files": ' + repr(files).replace("'", '"') + "}"
        checksummed_file.write_signed(path / manifest.NAME, text)
        with pytest.raises(ValueError, match="every checkpoint in it is damaged"):
            ao.restore_checkpoint(tmp_path / "run", LIKE)


def test_in_a_finished_optimizer(harm):
    text = harm.decode("latin1")
    with pytest.raises(ValueError, match="it holds no finished optimizer"):
        resume_store.from_text(text)
    for dtype in ("O", "object", "V8", "__import__('os')"):
        kept = '{"dtype": "' + dtype + '", "shape": [1], "data": "AAAAAAAAAAA="}'
        with pytest.raises(ValueError, match="it holds no finished optimizer"):
            resume_store.from_text('{"seconds": 1, "row": {"runs": [], "params": [' + kept + "]}}")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_in_a_log(harm, tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    path.write_bytes(harm + b"\n")
    with pytest.raises(ValueError, match=r"damaged|no column"):
        read_log(path)


def test_in_a_data_set_given_to_the_command(harm, tmp_path, capsys):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for each in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        (folder / each).write_bytes(harm)
    words = ["compare", "--task", "cifar10", "--data-dir", str(tmp_path)]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "data_batch_1 is damaged: it names" in told
    assert "exec, which no data file needs" in told


def test_in_an_expression_of_the_command(capsys, tmp_path):
    target = tmp_path / "harmed"
    code = f"__import__('pathlib').Path({str(target)!r}).touch()"
    for option in ("--optimizers", "--learning-rate", "--task"):
        out = ["--out", str(tmp_path / "out")]
        assert cli.main(["compare", option, code, *out]) == 2
    assert cli.main(["compare", "--optimizers", f"lookahead(adam,every={code})", *out]) == 2
    assert not target.exists()
    assert "Traceback" not in capsys.readouterr().err

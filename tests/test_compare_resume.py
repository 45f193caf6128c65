import dataclasses
import json
import re
import shlex
import shutil

import jax
import numpy as np
import optax
import pytest
from test_compare_task import line

from adaptive_optax import cli
from adaptive_optax.comparison import compare, resume_store, tasks
from adaptive_optax.comparison.progress import Lines, Silent
from adaptive_optax.comparison.training import Trainer

NAMES = ["sgd", "lookahead(adam,every=3)", "lion"]
TIMES = ("milliseconds_per_step", "compile_seconds", "seconds", "interrupted")


class Killed(BaseException):
    """Nothing in the comparison hears it, as a kill."""


class Stop(Silent):
    """Ends a comparison as the nth optimizer begins, and counts those that are trained."""

    def __init__(self, nth=99, how=Killed):
        self.nth, self.how, self.begun, self.again = nth, how, [], []

    def optimizer(self, name):
        if len(self.begun) == self.nth:
            raise self.how
        self.begun.append(name)

    def taken_up(self, row):
        self.again.append(row.name)


def timeless(value):
    """A document without what a clock says."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def document(out):
    return timeless(json.loads((out / "results.json").read_text()))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr("adaptive_optax.comparison.plots.draw", lambda *arguments: [])


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The folder of a comparison that was killed as the last optimizer began."""
    out = tmp_path_factory.mktemp("begun")
    with pytest.raises(Killed):
        compare(line(), NAMES, out=out, progress=Stop(2))
    return out


@pytest.fixture
def stopped(begun, tmp_path):
    """`stopped(out, nth)`: the folder out as of one that was killed as the nth optimizer began."""

    def copy(out, nth=1):
        shutil.copytree(begun, out, dirs_exist_ok=True)
        for path in list((out / resume_store.FOLDER).iterdir()):
            if path.name[:3].isdigit() and int(path.name[:3]) >= nth:
                path.unlink()

    return copy


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adaptive_optax.comparison.plots.draw", lambda *arguments: [])
        return compare(line(), NAMES, out=out), out


@pytest.mark.parametrize("nth", [*(pytest.param(k, marks=pytest.mark.slow) for k in (0, 1)), 2])
def test_a_comparison_that_was_killed_goes_on_and_ends_as_one_that_was_not(
    whole, stopped, tmp_path, nth
):
    stopped(tmp_path, nth)
    assert not (tmp_path / "results.json").exists()
    watch = Stop()
    found = compare(line(), NAMES, out=tmp_path, resume=True, progress=watch)
    assert watch.again == NAMES[:nth]
    assert watch.begun == NAMES[nth:]
    assert document(tmp_path) == document(whole[1])
    for row, expected in zip(found.rows, whole[0].rows, strict=True):
        assert row.runs == expected.runs
        for x, y in zip(*map(jax.tree.leaves, (row.params, expected.params)), strict=True):
            np.testing.assert_array_equal(x, y)
        assert row.params_of(1)["w"].shape == (2, 1)


def test_one_that_is_complete_is_taken_up_whole(whole, tmp_path):
    shutil.copytree(whole[1], tmp_path, dirs_exist_ok=True)
    watch = Stop()
    again = compare(line(), NAMES, out=tmp_path, resume=True, progress=watch)
    assert watch.again == NAMES
    assert not watch.begun
    assert document(tmp_path) == document(whole[1])
    assert again.seconds > 0


def test_where_nothing_is_there_it_begins(tmp_path):
    (tmp_path / resume_store.FOLDER).mkdir()  # a kill may leave it empty
    watch = Stop(1, KeyboardInterrupt)
    assert compare(line(), NAMES, out=tmp_path, resume=True, progress=watch).interrupted
    assert watch.begun == NAMES[:1]


def test_without_resume_what_was_there_is_set_aside(stopped, tmp_path):
    stopped(tmp_path, 2)
    (tmp_path / resume_store.ASIDE).mkdir()
    with pytest.raises(KeyboardInterrupt):  # as nothing is finished, nothing is returned
        compare(line(), NAMES, out=tmp_path, progress=Stop(0, KeyboardInterrupt))
    assert not (tmp_path / "results.json").exists()
    assert len(list((tmp_path / resume_store.FOLDER).iterdir())) == 1
    assert len(list((tmp_path / resume_store.ASIDE).iterdir())) == 3


def test_another_configuration_is_refused_with_what_differs(stopped, tmp_path):
    stopped(tmp_path)
    pattern = r"another configuration: seeds is \[0, 1\] there and \[0\] here; grid is 3 there and"
    with pytest.raises(ValueError, match=pattern):
        compare(line(), NAMES, seeds=1, grid=1, out=tmp_path, resume=True)
    with pytest.raises(ValueError, match=r"optimizers is \['sgd', 'look.* here; centres lion is"):
        compare(line(), NAMES[:2], out=tmp_path, resume=True)
    train = line().train
    other = line(train=type(train)(train.inputs + 1, train.targets))
    with pytest.raises(ValueError, match=r"data is '\w{64}' there and '\w{64}' here"):
        compare(other, NAMES, out=tmp_path, resume=True)


def test_another_version_of_a_library_is_refused(stopped, tmp_path, monkeypatch):
    stopped(tmp_path)
    monkeypatch.setattr("adaptive_optax.comparison.protocol._versions", lambda: {"jax": "9"})
    with pytest.raises(ValueError, match=r"versions jax is '.*' there and '9' here; versions"):
        compare(line(), NAMES, out=tmp_path, resume=True)


@pytest.mark.parametrize("name", [resume_store.CONFIGURATION, "000_sgd.json"])
@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_named_with_the_way_out(stopped, tmp_path, name, harm):
    stopped(tmp_path)
    path = tmp_path / resume_store.FOLDER / name
    data = path.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    path.write_bytes({"cut": data[:-70], "flipped": flipped, "empty": b"", "other": b"x"}[harm])
    way = (
        "leave resume out"
        if name == resume_store.CONFIGURATION
        else "remove it, and this optimizer"
    )
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is damaged: .*; {way}"):
        compare(line(), NAMES, out=tmp_path, resume=True)
    path.unlink()
    if name == resume_store.CONFIGURATION:
        with pytest.raises(ValueError, match=r"configuration.json is damaged: it is missing, besi"):
            compare(line(), NAMES, out=tmp_path, resume=True)


def test_files_that_are_whole_but_wrong_are_told(stopped, tmp_path):
    stopped(tmp_path, 2)
    folder = tmp_path / resume_store.FOLDER
    one = folder / "000_sgd.json"
    kept = one.read_bytes()
    one.write_bytes((folder / "001_lookahead_adam_every_3.json").read_bytes())
    with pytest.raises(ValueError, match=r"it is of 'lookahead\(adam,every=3\)', and not of 'sgd'"):
        compare(line(), NAMES, out=tmp_path, resume=True)
    one.write_bytes(kept)
    model = {"w": np.zeros((2, 1), np.float32), "b": np.zeros((1, 1), np.float32)}
    other = dataclasses.replace(
        line(), init=lambda seed: model, apply=lambda params, x: x @ params["w"] + params["b"]
    )
    with pytest.raises(ValueError, match="its parameters are those of another model; remove it"):
        compare(other, NAMES, out=tmp_path, resume=True)
    for text in ("[]", "{}", '{"row": {}, "seconds": 1}', "no JSON", "[" * 100_000):
        with pytest.raises(ValueError, match="it holds no finished optimizer"):
            resume_store.from_text(text)


def test_a_full_disk_keeps_what_was_finished(stopped, tmp_path, monkeypatch):
    def full(path, text):
        if "lion" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, text)

    write = resume_store.write_signed
    stopped(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(resume_store, "write_signed", full)
        with pytest.raises(OSError, match=r"002_lion.json \(No space left on device\); what was"):
            compare(line(), NAMES, out=tmp_path, resume=True)
    assert len(list((tmp_path / resume_store.FOLDER).iterdir())) == 3


def test_resume_needs_a_folder():
    with pytest.raises(ValueError, match=r"compare\(resume=True, out=None\): give the folder"):
        compare(line(), "sgd", resume=True)


@pytest.mark.slow
def test_constructors_of_ones_own_go_on_too(tmp_path):
    own = {"mine": (optax.sgd, 0.1), "lost": lambda rate: optax.sgd(1e30)}
    with pytest.raises(Killed):
        compare(line(), own, out=tmp_path, progress=Stop(1))
    watch = Stop()
    compare(line(), own, out=tmp_path, resume=True, progress=watch)
    assert watch.again == ["mine"]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    monkeypatch.setattr(tasks, "load", lambda name, data_dir=None: line())
    return ["compare", "--optimizers", ",".join(NAMES), "--out", str(tmp_path / "my out")]


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("the second optimizer", marks=pytest.mark.slow),
        pytest.param("the test split", marks=pytest.mark.slow),
        "the pictures",
    ],
)
def test_ctrl_c_says_how_to_go_on(tiny, stopped, monkeypatch, capsys, tmp_path, where):
    out, early = tmp_path / "my out", where == "the second optimizer"
    if not early:
        stopped(out, 2)

    class Interrupted(Lines):
        def optimizer(self, name):
            if name == NAMES[1] and early:
                raise KeyboardInterrupt

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("adaptive_optax.comparison.progress.Lines", Interrupted)
        if where == "the test split":
            patch.setattr("adaptive_optax.comparison.protocol._read_test", stop)
        if where == "the pictures":
            patch.setattr("adaptive_optax.comparison.plots.draw", stop)
        assert cli.main(tiny if early else [*tiny, "--resume"]) == 130
    told = capsys.readouterr().err
    again = ["adaptive-optax", *tiny, "--resume"]
    assert f"what was finished is kept in {out}. Go on with:\n  {shlex.join(again)}\n" in told
    trained = []
    train = Trainer.train
    monkeypatch.setattr(Trainer, "train", lambda *a: trained.append(a) or train(*a))
    assert cli.main([*tiny, "--resume"]) == 0
    printed = capsys.readouterr().out
    count = 1 if early else 3
    assert printed.count("taken up") == count
    assert bool(trained) == (count < 3)
    assert "Take " in printed


def test_the_command_names_damage_and_another_configuration(tiny, stopped, capsys, tmp_path):
    stopped(tmp_path / "my out")
    assert cli.main([*tiny, "--seeds", "1", "--resume"]) == 2
    assert "seeds is [0, 1] there and [0] here" in capsys.readouterr().err
    path = tmp_path / "my out" / resume_store.FOLDER / "000_sgd.json"
    path.write_bytes(path.read_bytes()[:100])
    assert cli.main([*tiny, "--resume"]) == 2
    told = capsys.readouterr().err
    assert f"{path} is damaged: it is cut off" in told
    assert "Traceback" not in told

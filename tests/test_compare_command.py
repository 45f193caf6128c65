import subprocess
import sys

import pytest
from rich.console import Console
from test_compare_task import line

from adaptive_optax import cli, comparison
from adaptive_optax.cli.compare import TASKS
from adaptive_optax.comparison import tasks
from adaptive_optax.comparison.progress import Bar, Lines


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The command's default task made small, and a folder for its results."""
    monkeypatch.setattr(tasks, "load", lambda name, data_dir=None: line())
    return str(tmp_path / "out")


def test_help_shows_examples(capsys):
    assert cli.main(["compare", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "adaptive-optax compare --optimizers sgd,adagrad,rmsprop,adam --learning-rate" in printed
    for option in ("task", "optimizers", "seeds", "epochs", "grid", "learning-rate", "out"):
        assert f"--{option}" in printed


def test_it_prints_a_table_and_writes(tiny, capsys, tmp_path):
    assert cli.main(["compare", "--optimizers", "sgd,adam", "--out", tiny]) == 0
    printed = capsys.readouterr().out
    assert "[ 1/2]" in printed
    assert "Take " in printed
    assert tiny in printed
    assert (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optimizers", "adamm"], "compare: unknown optimizer 'adamm'; did you mean 'adam'?"),
        (["--task", "digit"], "did you mean 'digits'?"),
        (["--task", "cifar10"], "cifar10 needs a folder"),
        (["--seeds", "0"], "compare(seeds=0): seeds must be at least 1."),
        (["--learning-rate", "fast"], "learning_rate='fast'"),
        (["--seeds", "many"], "invalid int value"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_what_the_user_can_set_right_exits_with_2(words, message, capsys, tmp_path):
    assert cli.main(["compare", "--out", str(tmp_path / "out"), *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_no_command_exits_with_2(capsys):
    assert cli.main([]) == 2
    assert "COMMAND" in capsys.readouterr().err


def test_an_unwritable_folder_exits_with_2(tiny, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert cli.main(["compare", "--out", str(tmp_path / "file")]) == 2
    assert "cannot write there" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["rich", "matplotlib", "sklearn"])
def test_a_missing_extra_is_named_in_one_line(module, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert cli.main(["compare"]) == 2
    told = capsys.readouterr().err
    assert 'pip install "adaptive-optax[compare]"' in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_a_missing_package_of_the_report_is_named(module):
    code = (
        f"import sys; sys.modules['{module}'] = None;"
        "from adaptive_optax import cli; sys.exit(cli.main(['report', '.']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f'report: {module} is missing; install it with: pip install "adaptive-optax[monitor]"\n'
    )


def test_help_names_every_task():
    assert set(TASKS.replace(" (default)", "").split(", ")) == set(tasks.TASKS)


def test_ctrl_c_exits_with_130_and_writes(tiny, monkeypatch, capsys, tmp_path):
    class Stop(Lines):
        def optimizer(self, name):
            if name == "adam":
                raise KeyboardInterrupt

    monkeypatch.setattr("adaptive_optax.comparison.progress.Lines", Stop)
    assert cli.main(["compare", "--optimizers", "sgd,adam", "--out", tiny]) == 130
    assert (tmp_path / "out" / "results.csv").read_text().count("\n") == 2
    assert "Take sgd" in capsys.readouterr().out


def test_ctrl_c_before_anything_exits_with_130(monkeypatch, tmp_path, capsys):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "load", stop)
    assert cli.main(["compare", "--out", str(tmp_path)]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_the_bar_runs_in_a_terminal():
    with open("/dev/null", "w") as nowhere:
        console = Console(file=nowhere, force_terminal=True)
        found = comparison.compare(line(), ["sgd", "adam"], seeds=1, progress=Bar(console))
    assert len(found.rows) == 2


def test_the_command_is_light_until_it_runs():
    code = (
        "import sys, adaptive_optax.cli;"
        "assert not {'flax', 'sklearn', 'matplotlib', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

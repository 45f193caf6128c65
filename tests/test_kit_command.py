"""`adaptive-optax contract`: what it prints, its exit codes, and the page."""

import subprocess
import sys
from pathlib import Path

import jax
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax import cli, testing
from adaptive_optax.optimizers.record import records
from adaptive_optax.testing import libraries
from adaptive_optax.testing.import_optimizer import resolve

DOCS = Path(__file__).parent.parent / "docs" / "contract.md"
QUICK = ["--properties", "wide_slots,rate_zero"]


@pytest.fixture
def here(monkeypatch, tmp_path):
    """A current directory with a module `kit_example` in it, and one that cannot be imported."""
    (tmp_path / "kit_example.py").write_text(
        "import functools, optax\n"
        "still = lambda rate: optax.sgd(0.0)\n"
        "class Box:\n"
        "    sgd = optax.sgd(0.1)\n"
        "schedule = optax.cosine_decay_schedule\n"
    )
    (tmp_path / "kit_raises.py").write_text("1 / 0\n")
    (tmp_path / "kit_needs.py").write_text("import no_such_package_here\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("kit_example", "kit_raises", "kit_needs"):
        sys.modules.pop(name, None)


def test_one_target_that_keeps_all(capsys):
    assert cli.main(["contract", "adaptive_optax.adam", *QUICK]) == 0
    assert capsys.readouterr().out == (
        "adaptive_optax.adam: 2 of 2\n  wide_slots  pass\n  rate_zero   pass\n"
    )


def test_one_target_that_fails(capsys):
    assert cli.main(["contract", "optax.adam", *QUICK]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("optax.adam: 1 of 2\n  wide_slots  fail  bfloat16 parameters: state")


def test_several_targets_give_evidence_and_a_matrix(capsys, here):
    words = ["contract", "optax.nadam", "adaptive_optax:lion", "kit_example:Box.sgd", *QUICK]
    path = list(sys.path)
    assert cli.main(words) == 1
    assert sys.path == path
    assert capsys.readouterr().out == (
        "optax.nadam: 1 of 2\n"
        "  wide_slots  fail  bfloat16 parameters: state [0].mu['inner']['bias'] is bfloat16\n"
        "adaptive_optax:lion: 2 of 2\n"
        "kit_example:Box.sgd: 1 of 1, 1 n/a\n"
        "\n"
        "            optax.nadam  adaptive_optax:lion  kit_example:Box.sgd\n"
        "wide_slots  FAIL         ok                   ok\n"
        "rate_zero   ok           ok                   n/a\n"
    )


def test_without(capsys):
    assert cli.main(["contract", "optax.adam", *QUICK, "--without", "wide_slots"]) == 0
    assert capsys.readouterr().out == "optax.adam: 1 of 1\n  rate_zero  pass\n"


def test_list(capsys):
    assert cli.main(["contract", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in testing.PROPERTIES)
    assert all(len(line) <= 100 for line in printed.splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optax.adamm"], "contract: optax.adamm: optax has no attribute 'adamm'; did you mean 'a"),
        (["optax.contrib.muno"], "optax.contrib has no attribute 'muno'; did you mean 'muon'?"),
        (["opptax.adam"], "there is no module 'opptax'; did you mean 'optax'?"),
        (["kit_exampel:still"], "there is no module 'kit_exampel'; did you mean 'kit_example'?"),
        (["kit_example.stil"], "kit_example has no attribute 'stil'; did you mean 'still'?"),
        (["kit_example.Box.sdg"], "Box has no attribute 'sdg'; did you mean 'sgd'?"),
        (["kit_raises.tx"], "importing kit_raises raised ZeroDivisionError: division by zero"),
        (["kit_needs.tx"], "importing kit_needs needs no_such_package_here."),
        (["kit_example.schedule"], "check_contract(make_tx=kit_example.schedule): calling it with"),
        (["adam"], "'adam' names nothing in a module; write module.attribute, such as optax.adam"),
        (["./mine.py:tx"], "'./mine.py:tx' names nothing in a module"),
        ([], "give a target, such as optax.adam; --help has examples."),
        (["optax.adam", "--properties", "wide_slot"], "did you mean 'wide_slots'?"),
        (["optax.adam", "--page", "no/page.md"], "contract(page='no/page.md'): cannot write there"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_what_the_user_can_set_right_exits_with_2(words, message, capsys, here):
    assert cli.main(["contract", *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_help_shows_examples(capsys):
    assert cli.main(["contract", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "adaptive-optax contract --page docs/contract.md" in printed
    assert "The exit code is 0 where all is kept" in printed


def test_the_command_sets_the_devices_itself():
    code = (
        "import sys, adaptive_optax.cli as cli;"
        "sys.exit(cli.main(['contract', 'adaptive_optax.sgd', '--properties', 'sharded_slots']))"
    )
    environment = {"PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "adaptive_optax.sgd: 1 of 1\n  sharded_slots  pass\n"


def test_resolve_takes_either_spelling():
    assert resolve("optax.contrib.muon") is resolve("optax.contrib:muon") is optax.contrib.muon
    assert resolve("adaptive_optax.optimizers.adam.adam") is ao.adam


def test_page_of_targets(capsys, here):
    words = ["contract", "kit_example.still", "optax.adam", "--page", "page.md", *QUICK]
    assert cli.main(words) == 1
    written = (here / "page.md").read_text()
    assert "| numbers | `wide_slots` | slots are float32 or wider for" in written
    assert "| sense | `rate_zero` | learning rate 0 moves nothing | 2 of 2 |" in written
    assert "| | kit_example.still | optax.adam |" in written
    assert "| `wide_slots` | ✓ | ✗ |" in written
    assert "- optax.adam: bfloat16 parameters: state [0].mu['inner']['bias'] is bfloat16" in written
    assert f"jax {jax.__version__}, " in written
    assert (
        "`adaptive-optax contract kit_example.still optax.adam --properties wide_slots,rate_zero "
        "--page page.md`" in written
    )


def test_page_of_all_counts_ours_only(capsys, here, monkeypatch):
    few = {name: records()[name] for name in ("sgd", "adadelta")}
    monkeypatch.setattr(libraries, "records", lambda: few)
    assert cli.main(["contract", "--page", "page.md", "--properties", "wide_slots"]) == 0
    written = (here / "page.md").read_text()
    assert "| **all** | | **4 of 4** | **1 of 4** |" in written
    assert "## What was seen: adaptive_optax\n\nNo failure.\n" in written
    assert "- adadelta: bfloat16 parameters: state" in written


def test_every_public_optimizer_is_on_the_page():
    assert {"adam", "lion", "momentum", "nesterov"} <= libraries.ours().keys()
    assert {"adam", "lion", "muon", "dadapt_adam"} <= libraries.optaxs().keys()
    assert records().keys() <= libraries.ours().keys()


def test_the_page_in_docs_is_of_these_properties_and_optimizers():
    written = DOCS.read_text("utf-8")
    again = "run: adaptive-optax contract --page docs/contract.md"
    for name, promise in testing.PROPERTIES.items():
        assert f"| `{name}` | {promise} |" in written, again
    headers = "".join(line for line in written.splitlines() if line.startswith("| | "))
    assert all(f" {name} |" in headers for name in libraries.ours()), again

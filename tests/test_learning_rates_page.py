"""docs/learning_rates.md is true: its blocks print what they say, and all that it names exists."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax import cli

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "learning_rates.md").read_text()
PROSE, BLOCKS = (
    re.sub(r"```python\n.*?```", "", TEXT, flags=re.DOTALL),
    re.findall(r"## ([^\n]*)\n(?:(?!\n## ).)*?```python\n(.*?)```", TEXT, re.DOTALL),
)
IMPORTS = {"ao": ao, "jax": jax, "jnp": jnp, "optax": optax}


def test_every_block_is_found():
    assert len(BLOCKS) == TEXT.count("```python")


@pytest.mark.parametrize(("heading", "block"), BLOCKS, ids=[heading for heading, _ in BLOCKS])
def test_a_block_prints_what_it_says(heading, block, capsys):
    exec(compile(block, heading, "exec"), dict(IMPORTS))
    said = re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)
    assert said
    printed = capsys.readouterr().out.splitlines()
    if heading == "Explain":  # which prints the chain before
        printed = printed[-1:]
    assert printed == said


def test_names_exist():
    named = set(re.findall(r"\bao((?:\.\w+)+)", TEXT))
    assert named
    for dotted in named:
        found = ao
        for name in dotted.split(".")[1:]:
            found = getattr(found, name)


def test_every_call_of_the_table_is_shown():
    rows = re.findall(r"^\| \[.*\]\(#(.*?)\) \| (.*) \|$", TEXT, re.MULTILINE)
    assert rows
    headings = {each.lower().replace(" ", "-") for each in re.findall(r"^## (.*)$", TEXT, re.M)}
    after = TEXT.split("\n\n", 3)[3]
    for anchor, calls in rows:
        assert anchor in headings
        for name in re.findall(r"`(?:ao)?\.(?:\w+\.)*(\w+)\(", calls):
            assert name in after, name


def test_commands_and_files_exist(capsys):
    commands = set(re.findall(r"`adaptive-optax ([\w-]+)", TEXT))
    cli.main(["--help"])
    listed = re.findall(r"^    ([\w-]+)", capsys.readouterr().out, re.MULTILINE)
    assert commands <= set(listed)
    files = re.findall(r"(?:benchmarks|notebooks)/[\w.]+\w", PROSE)
    assert files
    assert all((ROOT / file).exists() for file in files)


def test_metrics_are_those_of_the_page():
    params = {"encoder": jnp.ones(3)}
    state = ao.monitored(optax.adam(1e-2), groups=["encoder"]).init(params)
    listed = PROSE.partition("Of\nall parameters")[2].partition("\n\n")[0]
    grouped, whole = listed.split("of the whole")
    found = ao.metrics(state)
    assert {name.split("/")[0] for name in found if "/" in name} == set(
        re.findall(r"`(\w+)`", grouped)
    )
    own = {name for name in found if "/" not in name and f"{name}/encoder" not in found}
    assert own == set(re.findall(r"`(\w+)`", whole))


@pytest.mark.parametrize(
    "tx",
    [
        optax.adam(1e-3),
        ao.monitored(ao.lookahead(optax.adam(1e-3))),
        optax.inject_hyperparams(optax.adam)(optax.constant_schedule(1e-3)),
    ],
    ids=["keeps no rate", "inside lookahead", "injected schedule"],
)
def test_what_cannot_be_set_says_so(tx):
    with pytest.raises(ValueError, match=r"set_learning_rate\(state="):
        ao.set_learning_rate(tx.init(jnp.ones(2)), 1e-4)


def test_a_later_scale_is_seen_by_monitored_only():
    params, tx = jnp.ones(2), optax.chain(ao.sgd(0.5), optax.scale(0.5))
    assert float(ao.learning_rate_of(tx.init(params))) == 0.5
    assert float(ao.learning_rate_of(ao.monitored(tx).init(params))) == 0.25
    tx = ao.layerwise_decay(ao.sgd(0.5), 0.5)
    params = {"Dense_0": params, "Dense_1": params}
    assert float(ao.learning_rate_of(tx.init(params))) == 0.5
    seen = ao.learning_rate_of(ao.monitored(tx, groups=["Dense_0", "Dense_1"]).init(params))
    assert (float(seen["Dense_0"]), float(seen["Dense_1"])) == (0.25, 0.5)

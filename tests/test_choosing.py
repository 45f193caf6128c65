"""docs/choosing.md is true where a test can tell: its names, calls, slots, links and sources."""

import functools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

import adaptive_optax as ao
from adaptive_optax.comparison import entries

PAGE = Path(__file__).parent.parent / "docs" / "choosing.md"
TEXT = PAGE.read_text()
BODY, SOURCES = (" ".join(part.split()) for part in TEXT.split("## Sources"))
OPTIMIZERS = {name for name in dir(ao) if hasattr(ao, f"scale_by_{name}")}
WRAPPERS = {"lookahead", "schedule_free", "cautious", "averaged"}
FORMS = {  # names of the literature for one constructor with options
    "momentum": functools.partial(ao.sgd, momentum=0.9),
    "nesterov": functools.partial(ao.sgd, momentum=0.9, nesterov=True),
}


def tables() -> dict[str, list[list[str]]]:
    """The cells of each table's rows, without its heading, by the heading of its second column."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in block.splitlines()]
        found[rows[0][1]] = rows[2:]
    return found


TABLES = tables()


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def constructor(name: str):
    return FORMS.get(name) or getattr(ao, name)


@functools.cache
def namespace() -> dict:
    """What the page's blocks define."""
    found: dict = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), found)
    return found


def test_blocks_run():
    assert {"steps", "cosine", "warm", "clip"} <= set(namespace())


def test_names_exist():
    named = set(re.findall(r"\bao\.(\w+)", TEXT))
    assert named
    assert not [name for name in named if not hasattr(ao, name)]


CALLS = sorted({span for span in spans(TEXT) if re.match(r"(ao|optax)\.\w+\(", span)})


@pytest.mark.parametrize("call", CALLS)
def test_calls_descend(call):
    tx = eval(call, dict(namespace()))
    params = {"kernel": jnp.linspace(-1.0, 1.0, 12).reshape(4, 3), "bias": jnp.ones(3)}

    def loss(params):
        return sum(jnp.sum(jnp.square(p - 3.0)) for p in jax.tree.leaves(params))

    @jax.jit
    def step(params, state):
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state, before = tx.init(params), loss(params)
    for _ in range(20):
        params, state = step(params, state)
    assert loss(ao.eval_params(state, params)) <= before


def test_tables_hold_public_names():
    first = [cell for row in TABLES["first"] for cell in row[1:]]
    cells = [*first, *(row[0] for key in ("start", "slots") for row in TABLES[key])]
    words = {word for cell in cells for span in spans(cell) for word in re.findall(r"\w+", span)}
    assert words <= OPTIMIZERS | WRAPPERS | set(FORMS)
    assert all(spans(cell) for row in TABLES["first"] for cell in row[1:3])


@pytest.mark.parametrize("key", ["start", "slots"])
def test_tables_are_whole(key):
    listed = [span for row in TABLES[key] for span in spans(row[0])]
    assert len(listed) == len(set(listed))
    assert set(listed) == OPTIMIZERS | WRAPPERS | set(FORMS)


SLOTS = [(span, cell) for row in TABLES["slots"] for cell in [row[1]] for span in spans(row[0])]


@pytest.mark.parametrize(("name", "cell"), SLOTS, ids=[name for name, _ in SLOTS])
def test_slots_are_measured(name, cell):
    size = 128  # of a square kernel
    params = {"kernel": jnp.zeros((size, size))}

    def slots(tx):
        return round(sum(x.size for x in jax.tree.leaves(tx.init(params))) / size**2, 1)

    if name in WRAPPERS:
        more = int(cell.partition("+")[2] or 0)
        assert slots(getattr(ao, name)(ao.adam(0.1))) == slots(ao.adam(0.1)) + more
        assert cell.startswith("inner's")
    else:
        assert slots(constructor(name)(0.1)) == int(re.match(r"\d+", cell)[0])


def test_starts_are_near_those_of_the_comparison():
    for row in TABLES["start"]:
        for name in spans(row[0]):
            if name in entries.OPTIMIZERS:
                start = float(re.match(r"[\d.e-]+", row[1])[0])
                assert 0.1 <= start / entries.OPTIMIZERS[name].centre <= 10, name


def test_the_command_knows_its_names():
    (command,) = re.findall(r'adaptive-optax compare --optimizers "([^"]+)"', TEXT)
    assert [entry.name for entry in entries.entries(command)] == command.split(",")


def test_sources_are_well_formed():
    entries = SOURCES.split(" · ")
    for entry in entries:
        found = re.fullmatch(r"(.+?), (\d{4}), (.+), (arXiv:\d{2}[01]\d\.\d{5}|JMLR \d+)\.?", entry)
        assert found, entry
        if "arXiv:" in entry:  # of a paper's first version
            year, month = int(entry[-10:-8]), int(entry[-8:-6])
            assert 2000 + year == int(found[2]), entry
            assert 1 <= month <= 12, entry
    by_family = sorted(entries, key=lambda entry: re.sub(r"^([A-Z]\.) (\w+)", r"\2 \1", entry))
    assert entries == by_family


def test_citations_and_sources_are_one_list():
    sources = {
        (re.match(r"(?:[A-Z]\. )?[\w-]+", entry)[0], re.search(r"\d{4}", entry)[0])
        for entry in SOURCES.split(" · ")
    }
    cited = set(re.findall(r"\b((?:[A-Z]\. )?[A-Z][a-z]+) \(?((?:19|20)\d\d)\b", BODY))
    assert cited == sources


def test_links_lead_somewhere():
    headings = {
        re.sub(r"[^\w-]", "", line.lstrip("# ").lower().replace(" ", "-"))
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        assert (PAGE.parent / path).exists() if path else anchor in headings, target

"""The catalogue is whole, and the layers of the library keep apart."""

import ast
from pathlib import Path

from catalogue import CASES, ELSEWHERE, OPTIMIZERS

import adaptive_optax as ao

PACKAGE = Path(ao.__file__).parent


def test_every_public_name_is_in_the_catalogue():
    public = {name for name in vars(ao) if not name.startswith("_")}
    modules = {"core", "optimizers", "wrappers", "learning_rate", "monitoring", "comparison"}
    modules |= {
        "gradients",
        "storage",
        "sharding",
        "checkpoint",
        "training",
        "testing",
        "cli",
        "logging",
    }
    modules |= {"importlib", "Any", "report"}
    covered = {name for row in CASES for name in row.names} | set(ELSEWHERE)
    assert public - modules == covered
    tests = Path(__file__).parent
    assert all((tests / file).is_file() for file in ELSEWHERE.values())


def test_every_optimizer_has_its_rule_row_and_preset():
    for row in OPTIMIZERS:
        name = row.names[0]
        assert callable(getattr(ao, f"scale_by_{name}"))
        assert ao.preset("paper", name) is not None
        assert any(other.rule for other in OPTIMIZERS if other.names[0] == name)


def imports(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, at its top or inside."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


ALLOWED = {
    "core": {"core"},
    "wrappers": {"core", "wrappers"},
    "optimizers": {"core", "wrappers", "optimizers"},
    "learning_rate": {"core", "learning_rate"},
    "monitoring": {"core", "monitoring"},
    "logging": {"core", "logging"},
    "report": {"logging", "report"},
    "gradients": {"core", "gradients"},
    "storage": {"core", "storage"},
    "sharding": {"core", "sharding"},
    "checkpoint": {"core", "checkpoint"},
}


def test_imports_point_down():
    for folder, allowed in ALLOWED.items():
        for path in (PACKAGE / folder).rglob("*.py"):
            for module in imports(path):
                assert module.split(".")[0] != "flax", path
                if module.startswith("adaptive_optax"):
                    assert module.split(".")[1] in allowed, f"{path.name} imports {module}"


def test_optimizers_know_nothing_of_what_crosses_them():
    """An optimizer's code says nothing of dtypes, sharding, storage, logging or flax."""
    banned = ("float32", "bfloat16", "astype", "shard", "stored", "monitor", "flax", "logging")
    for path in (PACKAGE / "optimizers").glob("*.py"):
        tree = ast.parse(path.read_text())
        words = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        words |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        words |= {a.arg for a in ast.walk(tree) if isinstance(a, ast.arg)}
        assert not [w for w in words if any(b in w for b in banned)], path.name

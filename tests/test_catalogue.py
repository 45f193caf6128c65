"""The catalogue is whole, and the layers of the library keep apart."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from catalogue import CASES, ELSEWHERE, OPTIMIZERS

import adaptive_optax as ao

PACKAGE = Path(ao.__file__).parent


def test_every_public_name_is_in_the_catalogue():
    modules = {"checkpoint", "comparison", "sharding", "testing", "training"}
    covered = {name for row in CASES for name in row.names} | set(ELSEWHERE)
    assert set(ao.__all__) - modules == covered
    tests = Path(__file__).parent
    assert all((tests / file).is_file() for file in ELSEWHERE.values())


def test_dir_shows_the_public_names_and_no_others():
    assert set(dir(ao)) == {*ao.__all__, "__version__"}
    assert {"comparison", "testing", "training"} <= set(dir(ao))
    with pytest.raises(AttributeError, match=r"has no attribute 'SGD'; did you mean 'sgd'"):
        _ = ao.SGD


def test_every_folder_is_an_attribute_without_an_import_of_its_own():
    folders = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    code = "import sys, adaptive_optax as ao; [getattr(ao, name) for name in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", code, *folders], check=True)


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


ALLOWED = {  # by folder, what its files may import besides it
    "core": set(),
    "introspection": {"core"},
    "wrappers": {"core", "introspection"},
    "optimizers": {"core", "wrappers"},
    "learning_rate": {"core", "introspection"},
    "monitoring": {"core", "introspection"},
    "logging": {"core"},
    "report": {"logging"},
    "gradients": {"core"},
    "storage": {"core"},
    "sharding": {"core", "introspection"},
    "checkpoint": {"core"},
}


def test_imports_point_down():
    for folder, allowed in ALLOWED.items():
        for path in (PACKAGE / folder).rglob("*.py"):
            for module in imports(path):
                assert module.split(".")[0] != "flax", path
                if module.startswith("adaptive_optax"):
                    room = module.split(".")[1]
                    assert room in {folder, *allowed}, f"{path.name} imports {module}"


def test_optimizers_know_nothing_of_what_crosses_them():
    """An optimizer's code says nothing of dtypes, sharding, storage, logging or flax."""
    banned = ("float32", "bfloat16", "astype", "shard", "stored", "monitor", "flax", "logging")
    for path in (PACKAGE / "optimizers").glob("*.py"):
        tree = ast.parse(path.read_text())
        words = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        words |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        words |= {a.arg for a in ast.walk(tree) if isinstance(a, ast.arg)}
        assert not [w for w in words if any(b in w for b in banned)], path.name

"""Eight devices, a cache of compiled programs, and which tests are slow, for the whole suite."""

import collections
import os
import platform
import shutil
import zlib
from importlib.metadata import version

import pytest

flags = ["--xla_force_host_platform_device_count=8"]
newer = tuple(map(int, version("jax").split(".")[:2])) >= (0, 12)
if newer and platform.machine() in ("x86_64", "AMD64"):
    # It contracts a product and a sum into one rounding, or not, by what else a program has, so
    # that last bits say nothing of ours. Without such an instruction what should be equal is.
    flags.append("--xla_cpu_max_isa=AVX")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])

LARGEST = 500_000_000  # bytes of compiled programs that are kept

# Files whose parametrized tests run CASES of their cases by default, and the others as slow tests.
# Most of a case's time is the compilation of its own programs.
CASES = 3
THINNED = {
    *("blend", "choosing", "compare_names", "effective_rate", "fuzz", "hard_examples"),
    *("hypergradient", "known_answers", "known_errors", "layerwise", "learning_rate_control"),
    *("matrices", "monitored", "monitored_company", "noise_scale"),
    *("partitioned", "partitioned_company", "pathologies_claims", "plateau", "plateau_state"),
    *("properties", "range_test", "rounded", "rounded_company", "rounded_learns"),
    *("sharding_meshes", "smoothed", "sophia"),
    *("state_shardings", "storage_quality", "stored_company", "stored_numbers"),
    *("stored_sharding", "switch", "training", "variance_reduced", "variance_reduced_company"),
    "warm_start",
}

# Files whose tests, except the slow ones, are fast. With the quick part of the contract they build
# and trace every public name.
FAST = {
    *(
        "structure",
        "rules_as_data",
        "bad_options",
        "catalogue",
        "contract_state",
        "explain",
        "goldens",
    ),
    *("oracles_follow_goldens", "oracles_follow_tree_goldens", "params_refused", "sinks"),
    *("state_dict", "suggested_range"),
}


def pytest_addoption(parser):
    parser.addoption(
        "--slow-slice",
        metavar="COUNT/N",
        help="of the slow tests run one part in N, the part COUNT modulo N; all others run",
    )


def pytest_configure(config):
    """Let all tests, and the processes that they start, share compiled programs on disk.

    Most of a test's time is compilation. A second run, after an edit, compiles only what changed.
    """
    if hasattr(config, "cache"):
        folder = config.cache.mkdir("compiled")
        first = not hasattr(config, "workerinput")  # the process that starts the workers
        if first and sum(path.stat().st_size for path in folder.iterdir()) > LARGEST:
            shutil.rmtree(folder)
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"


def theme(item) -> str:
    """Return "x" for tests/test_x.py."""
    path = item.path.relative_to(item.config.rootpath).as_posix()
    return path.removeprefix("tests/test_").removesuffix(".py")


def number(item) -> int:
    """Return a number that depends on the test's name alone."""
    return zlib.crc32(item.nodeid.encode())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark cases as slow and files as fast; take the asked slice of the slow tests."""
    cases = collections.defaultdict(list)
    for item in items:
        if theme(item) in THINNED and not item.get_closest_marker("slow"):
            cases[item.nodeid.partition("[")[0]].append(item)
    for same in cases.values():
        for item in sorted(same, key=number)[CASES:]:
            item.add_marker(pytest.mark.slow)
    for item in items:
        if theme(item) in FAST and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.fast)
    if config.getoption("slow_slice", None):
        count, parts = map(int, config.getoption("slow_slice").split("/"))
        left_out = {
            item
            for item in items
            if item.get_closest_marker("slow") and number(item) % parts != count % parts
        }
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]

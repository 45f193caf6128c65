"""What a speed was measured on, and the process that is measured in.

On Linux the C library gives arrays of more than 32 MB back to the system when they are freed, and
what XLA allocates anew for the next step is then paged in again, 4 KiB at a time: a large part of a
step that has temporaries. Programs that keep their memory (by these settings, or another allocator)
do not pay it, so every time is taken both ways.
"""

import datetime
import importlib.metadata
import os
import platform
import re
from pathlib import Path

import jax

KEPT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
}
PACKAGES = ("adaptive-optax", "optax", "jax", "jaxlib", "numpy")


def described() -> dict[str, str]:
    """The machine, the versions and the date, without the names of hosts or folders."""
    device = jax.devices()[0]
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "device": f"{device.platform} {device.device_kind}",
        "load of the last 15 minutes": f"{os.getloadavg()[2]:.1f}",  # above 1, others ran too
        "versions": f"Python {platform.python_version()}, {versions}",
        "date": datetime.date.today().isoformat(),
    }


def _processor() -> str:
    """The model that Linux tells, or the architecture."""
    listed = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", listed.read_text()) if listed.exists() else None
    return f"{found[1].strip()} ({platform.machine()})" if found else platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"

"""Eight devices on the CPU, for the tests of sharding; set before jax starts."""

import os
import platform
from importlib.metadata import version

flags = ["--xla_force_host_platform_device_count=8"]
newer = tuple(map(int, version("jax").split(".")[:2])) >= (0, 12)
if newer and platform.machine() in ("x86_64", "AMD64"):
    # It contracts a product and a sum into one rounding, or not, by what else a program has, so
    # that last bits say nothing of ours. Without such an instruction what should be equal is.
    flags.append("--xla_cpu_max_isa=AVX")
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])

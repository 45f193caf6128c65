"""Where parameters, optimizer state and updates lie on many devices.

`ao.state_shardings` and `ao.partitioned` are of the package itself; `ao.sharding.report` tells what
they come to:

    print(ao.sharding.report(ao.partitioned(ao.adamw(1e-3), mesh, "data"), params))
"""

from adaptive_optax.sharding.placement_report import Report as Report
from adaptive_optax.sharding.placement_report import report as report

"""The contract of this library, to try on any optax-style transformation."""

from adaptive_optax.testing.contract import assert_contract as assert_contract
from adaptive_optax.testing.contract import check_contract as check_contract
from adaptive_optax.testing.properties import PROPERTIES as PROPERTIES
from adaptive_optax.testing.report import Report as Report
from adaptive_optax.testing.report import Row as Row

"""The contract of this library, to try on any optax-style transformation."""

from adaptive_optax.testing.contract import PROPERTIES as PROPERTIES
from adaptive_optax.testing.contract import assert_contract as assert_contract
from adaptive_optax.testing.contract import check_contract as check_contract
from adaptive_optax.testing.result import Report as Report
from adaptive_optax.testing.result import Row as Row

__all__ = ["PROPERTIES", "Report", "Row", "assert_contract", "check_contract"]

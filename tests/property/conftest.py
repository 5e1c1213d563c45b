"""How many examples: few and the same ones every time; with --long many and random, the seed printed on failure."""

import pytest
from hypothesis import HealthCheck, settings


def pytest_configure(config: pytest.Config) -> None:
    slow_ok = (HealthCheck.too_slow, HealthCheck.data_too_large)
    settings.register_profile(
        "few", max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=slow_ok
    )
    settings.register_profile(
        "many", max_examples=500, print_blob=True, database=None, deadline=None, suppress_health_check=slow_ok
    )
    settings.load_profile("many" if config.getoption("--long") else "few")

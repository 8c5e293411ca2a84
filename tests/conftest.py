"""`--full`, and how hypothesis judges all tests of properties: by what they find, not by the time of an example."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# An example has 200 ms by default, and making examples a second or so: a loaded machine breaks either.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="what a release should have: every fault in many rounds, every way of serving with every client",
    )


@pytest.fixture
def is_full(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--full"))

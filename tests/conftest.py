"""Fixtures that every test may ask for, and how many random runs a test takes."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("house", "rows", "twin")

from house import House  # noqa: E402  (after the line above, which makes its assertions tell what they saw)

settings.register_profile(
    "ci",
    max_examples=int(os.environ.get("LIMEN_EXAMPLES", "1000")),
    stateful_step_count=40,
    deadline=None,
    derandomize="LIMEN_EXAMPLES" not in os.environ,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def make_house() -> Callable[..., House]:
    """Houses with settings of their own: `make_house(on_expiry="give_back")`."""
    return House

"""Fixtures that every test may ask for, and how many random runs a test takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("house", "kept", "over_http", "rows", "twin")

from over_http import OverHttp  # noqa: E402  (after the line above, which makes assertions tell what they saw)

from house import House, Stores  # noqa: E402  (as above)
from kept import Kept  # noqa: E402  (as above)

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


WAYS = dict.fromkeys(
    (
        *("test_entities_edits", "test_entities_lists", "test_entities_merge", "test_entities_references"),
        *("test_entities_secrets", "test_entities_rules", "test_entities_overrides", "test_audit"),
        "test_bifrost_scenarios",
    ),
    ("memory", "store", "http"),
)
WAYS |= dict.fromkeys(
    (
        *("test_bad_input_bodies", "test_bad_input_rules", "test_routing", "test_routing_variables"),
        "test_idempotency",
    ),
    ("memory", "http"),
)
WAYS["test_config_file"] = ("memory", "store")
"""Files whose rows go several ways: to engines in memory, to stored ones, and through HTTP."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    ways = WAYS.get(metafunc.module.__name__)
    if ways:
        metafunc.parametrize("way", ways, indirect=True)


@pytest.fixture(autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the engines of a test keep their configuration, and by which door they are asked."""
    name = getattr(request, "param", "memory")
    if name == "http":
        monkeypatch.setattr("house.DOOR", OverHttp)
    if name != "store":
        yield name
        return
    # In memory where there is such a file system: what is proved here is not the disk.
    with TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        stores = Stores(Path(folder))
        monkeypatch.setattr("house.STORES", stores)
        yield name
        for engine in stores.engines:
            engine.close()


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def make_house() -> Callable[..., House]:
    """Houses with settings of their own: `make_house(on_expiry="give_back")`."""
    return House


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    # The thread sleeps through a test: what is flushed is flushed by the test.
    house = Kept(tmp_path / "limen.db", usage_flush_ms=3_600_000)
    yield house
    house.engine.close()

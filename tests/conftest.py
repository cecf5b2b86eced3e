"""Fixtures that every test may ask for, and how many random runs a test takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("house", "rows", "twin")

from house import House, Stores  # noqa: E402  (after the line above, which makes its assertions tell what they saw)

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


BOTH = {"test_entities_edits", "test_entities_lists", "test_entities_merge", "test_entities_references"}
BOTH |= {
    "test_entities_secrets",
    "test_entities_rules",
    "test_entities_overrides",
    "test_config_file",
    "test_audit",
}
"""Files whose rows run twice: on engines in memory, and on engines that are kept in a store."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__ in BOTH:
        metafunc.parametrize("kept_in", ["memory", "store"], indirect=True)


@pytest.fixture(autouse=True)
def kept_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where the engines of a test keep their configuration."""
    if getattr(request, "param", "memory") == "memory":
        yield
        return
    # In memory where there is such a file system: what is proved here is not the disk.
    with TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        stores = Stores(Path(folder))
        monkeypatch.setattr("house.STORES", stores)
        yield
        for engine in stores.engines:
            engine.close()


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def make_house() -> Callable[..., House]:
    """Houses with settings of their own: `make_house(on_expiry="give_back")`."""
    return House

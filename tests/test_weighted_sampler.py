"""Draws by weight: shares, zeros, exclusions, replay by seed, and sticky choices that move only what must."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import pytest

import limen

DRAWS = 100_000
WEIGHTS = [
    [1],
    [1, 1],
    [1, 2, 3, 4],
    [0.1, 0.2, 0.7],
    [0, 1, 0, 3],
    [1e-9, 1],
    [1e300, 1e300],
    [5e-324, 1e-323],
    [1] * 257,
]


def close_to_shares(counts: Counter[int], weights: list[float], draws: int) -> None:
    """Every index within five standard deviations of its share."""
    total = sum(weight / max(weights) for weight in weights)
    for index, weight in enumerate(weights):
        share = weight / max(weights) / total
        slack = 5 * sqrt(draws * share * (1 - share)) + (1 if weight else 0)
        assert abs(counts[index] - draws * share) <= slack, f"{index} of {weights[:5]}: {counts[index]}"


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda weights: str(weights[:4]))
def test_draws_come_in_the_shares_of_the_weights(weights: list[float]) -> None:
    sampler = limen.WeightedSampler(weights, seed=11)
    close_to_shares(Counter(sampler.pick_many(DRAWS)), weights, DRAWS)


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda weights: str(weights[:4]))
def test_sticky_choices_come_in_the_same_shares(weights: list[float]) -> None:
    sampler = limen.WeightedSampler(weights)
    close_to_shares(Counter(sampler.pick_sticky(f"user {n}") for n in range(20_000)), weights, 20_000)


def test_a_weight_of_zero_is_never_drawn() -> None:
    sampler = limen.WeightedSampler([0, 1, 0], seed=1)
    assert {sampler.pick() for _ in range(1_000)} == {1}
    assert {sampler.pick_sticky(str(n)) for n in range(1_000)} == {1}


def test_one_seed_is_one_sequence() -> None:
    first, again, other = (limen.WeightedSampler([1, 2, 3], seed=seed) for seed in (5, 5, 6))
    drawn = [first.pick() for _ in range(100)]
    assert list(again.pick_many(100)) == drawn
    assert list(other.pick_many(100)) != drawn


def test_without_keeps_the_indices_of_the_first_list() -> None:
    sampler = limen.WeightedSampler([1, 2, 3, 4], seed=3)
    rest = sampler.without([1])
    assert len(rest) == len(sampler) == 4
    close_to_shares(Counter(rest.pick_many(DRAWS)), [1, 0, 3, 4], DRAWS)
    close_to_shares(Counter(rest.without([0, 3]).pick_many(1_000)), [0, 0, 1, 0], 1_000)


def test_a_changed_weight_moves_only_keys_to_or_from_it() -> None:
    keys = [f"user {n}" for n in range(5_000)]
    before, raised = limen.WeightedSampler([1, 2, 3]), limen.WeightedSampler([1, 2, 6])
    moved = [(before.pick_sticky(key), raised.pick_sticky(key)) for key in keys]
    assert {now for was, now in moved if was != now} == {2}
    assert 0 < sum(was != now for was, now in moved) < len(keys) / 4


def test_an_exclusion_moves_only_the_keys_of_what_is_excluded() -> None:
    sampler = limen.WeightedSampler([1, 2, 3])
    rest = sampler.without([0])
    for key in (f"user {n}" for n in range(2_000)):
        was, now = sampler.pick_sticky(key), rest.pick_sticky(key)
        assert now == was or was == 0


def test_a_batch_of_draws_is_an_array_of_indices() -> None:
    drawn = limen.WeightedSampler([1, 1], seed=1).pick_many(10)
    assert len(drawn) == 10
    assert set(drawn) <= {0, 1}
    assert len(limen.WeightedSampler([1]).pick_many(0)) == 0

"""`./dev bench constant_time`: the statistics, on times that are known. What is measured in earnest decides no test."""

import random

import numpy as np
import pytest

from bench.constant_time import largest_t, welch_t


def test_welch_t_is_that_of_the_textbook() -> None:
    """Means 3 and 6, variances 2.5 and 10, five of each: t = 3 / sqrt(0.5 + 2)."""
    assert welch_t(np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 4, 6, 8, 10])) == pytest.approx(3 / 2.5**0.5)


def times(mean: float, dice: random.Random) -> list[float]:
    """With an interrupt now and then."""
    return [dice.gauss(mean, 1.0) + (500 if dice.random() < 0.01 else 0) for _ in range(4_000)]


def test_a_small_difference_is_seen_through_interrupts_and_none_is_not(seed: int) -> None:
    dice = random.Random(seed)
    assert largest_t(times(100.0, dice), times(100.5, dice)) > 10
    assert largest_t(times(100.0, dice), times(100.0, dice)) < 6

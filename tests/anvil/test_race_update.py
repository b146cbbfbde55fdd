"""The race at an oracle update in small: what is saved, what no keeper could save, and how blocks are ordered."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.chaos import oracle_race
from tests.chaos.oracle_race import MARGINS, MODES, Race, Update, episodes, path, race, saved_pct, show

pytestmark = pytest.mark.anvil


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory, anvil_binary: None) -> Iterator[Race]:
    with race(tmp_path_factory.mktemp("race")) as made:
        yield made


def steps(*updates: tuple[float, bool]) -> Iterator[Update]:
    """A fall written by hand, resting at its end."""
    yield from (Update(factor=f, at_once=now) for f, now in updates)


@pytest.mark.parametrize("mode", MODES)
def test_race__when_one_update_takes_three_per_cent__then_only_the_thinnest_margin_is_lost(
    on: Race, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle_race, "path", lambda rng: steps((0.967, False), *[(0.995, False)] * 40))
    on.counts = {}
    on.episode(mode, Random(1))
    assert on.counts[f"{mode} 1.02 lost"] == 1
    assert {m: saved_pct(on.counts, mode, m) for m in MARGINS[1:]} == dict.fromkeys(MARGINS[1:], (100.0, 1))


@pytest.mark.parametrize(("mode", "outcome"), [("backrun", "saved"), ("bundled", "lost")])
def test_race__when_the_second_update_comes_in_the_next_block__then_an_urgent_rescue_beats_a_public_one_only(
    on: Race, mode: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1.02 -> under its emergency of 1.01 -> under 1: the rescue and the second update meet in one block
    monkeypatch.setattr(oracle_race, "path", lambda rng: steps((0.984, False), (0.975, True)))
    on.counts = {}
    on.episode(mode, Random(1))
    assert on.counts[f"{mode} 1.02 {outcome}"] == 1


@pytest.mark.parametrize("mode", MODES)
def test_race__when_updates_are_as_on_the_day__then_margins_of_ten_per_cent_are_saved(
    on: Race, mode: str
) -> None:
    found = episodes(on, "small", 2)
    show(found.counts)
    for margin in ("1.10", "1.20"):
        pct, many = saved_pct(found.counts, mode, margin)
        assert (pct, many) == (100.0, 2)


def test_path__when_drawn__then_sizes_are_as_on_the_day_and_the_seed_repeats_it() -> None:
    def drawn(seed: int) -> list[float]:
        updates = path(Random(seed))
        return [next(updates).factor for _ in range(4_000)]

    falls = sorted(1 - f for f in drawn(1) if f < 1)
    assert drawn(1) == drawn(1) != drawn(2)
    assert falls[0] >= 0.005
    assert 0.0070 < falls[len(falls) // 2] < 0.0080
    assert 0.030 < falls[int(len(falls) * 0.99)] < 0.045
    assert drawn(3)[0] < 1

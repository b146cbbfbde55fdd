"""The figure of all incidents counts those that have a name in history, each once, on the evidence that it has."""

from __future__ import annotations

import pytest

from tests.incident_tally import NAMED, counted

pytestmark = pytest.mark.unit


def figure(name: str, *, holds: bool = True, evidence: str | None = None) -> dict[str, object]:
    return {
        "name": f"incident_survived_{name}",
        "holds": holds,
        "evidence": evidence or NAMED.get(name, "real_bytecode"),
    }


def test_tally__when_all_were_played__then_black_thursday_is_one_of_six_and_a_vote_is_none() -> None:
    tally = counted([figure(n) for n in (*NAMED, "vote")])
    assert (len(tally.played), tally.survived) == (6, 6)
    assert "black_thursday" in tally.played
    assert "vote" not in tally.played
    assert tally.evidence == "real_bytecode (5), own_double (black_thursday)"


def test_tally__when_some_are_missing_on_another_double_or_lost__then_they_do_not_count() -> None:
    told = [figure(n) for n in NAMED if n not in ("luna", "capo", "kelp")]
    told += [
        figure("capo", evidence="own_double"),
        figure("kelp_compound_v3", evidence="own_double"),
        figure("kelp", holds=False),
    ]
    tally = counted(told)
    assert tally.played == ("black_thursday", "kelp", "depeg", "stall")
    assert tally.survived == 3

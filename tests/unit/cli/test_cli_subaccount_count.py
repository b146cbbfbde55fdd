"""A grant on GMX names a total since the first order: what the command is asked for are orders from now on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from eth_abi.abi import decode

from keeper.cli import subaccount
from keeper.cli.subaccount import Counted, counted
from keeper.config import PositionSettings, VenueSettings
from keeper.errors import ConfigError, Transient
from keeper.executor.perp import ACTION
from keeper.model import Call
from keeper.venues.gmx_v2 import book
from keeper.words import Words
from tests.aave_market import encode_answers

pytestmark = pytest.mark.unit

OWNER, KEEPER, STORE = ("0x" + byte * 20 for byte in ("0a", "4e", "57"))
SLOT = cast(Any, SimpleNamespace(store=STORE))


def store(**numbers: int | None) -> Any:
    """GMX's DataStore with these numbers of the keeper's for the owner; None reverts."""
    at = {book.key(name, OWNER, KEEPER, bytes.fromhex(ACTION[2:])): n for name, n in numbers.items()}

    async def read(calls: Sequence[Call]) -> Words:
        assert {c.target for c in calls} == {STORE}
        found = [at[c.data[4:]] for c in calls]
        return encode_answers([None if n is None else n.to_bytes(32) for n in found])

    return read


def count(used: int | None, most: int | None) -> Counted:
    read = store(SUBACCOUNT_ACTION_COUNT=used, MAX_ALLOWED_SUBACCOUNT_ACTION_COUNT=most)
    return asyncio.run(counted(SLOT, OWNER, KEEPER, read))


def test_renewal__when_all_of_the_first_grant_was_used__then_the_total_allows_that_many_more() -> None:
    found = count(50, 50)
    total = found.total(50)
    # GMX adds one and compares: count > most is refused
    assert found.used + 50 <= total < found.used + 51
    assert "50 + 50 = 100 is written, so 50 may follow (0 are left of the grant before)" in found.note(50)
    venue = cast(VenueSettings, SimpleNamespace(subaccount=KEEPER, provider=STORE))
    rows = subaccount.calls(cast(PositionSettings, SimpleNamespace(account=OWNER)), venue, total, 9)
    (data,) = (bytes.fromhex(str(r["data"])[10:]) for r in rows if "ActionCount" in str(r["call"]))
    assert decode(("address", "bytes32", "uint256"), data)[2] == 100


def test_first_grant__when_nothing_was_ordered__then_the_total_is_what_was_asked_for() -> None:
    assert count(0, 0).total(50) == 50


@pytest.mark.parametrize("further", [0, -1, -50])
def test_grant__of_no_further_order__is_refused_whatever_was_used(further: int) -> None:
    with pytest.raises(ConfigError, match="allows no order beyond the 50"):
        count(50, 60).total(further)


@pytest.mark.parametrize(("used", "most"), [(None, 50), (50, None)])
def test_grant__when_the_count_cannot_be_read__then_no_total_is_guessed(
    used: int | None, most: int | None
) -> None:
    with pytest.raises(Transient, match="could not be read"):
        count(used, most)

"""The old key on GMX's list beside an Executor: named by ``check``, taken off by what ``grant`` prints, and only then
when nothing else needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from keeper.cli import perp_grant
from keeper.daemon.facts import Guarded
from keeper.daemon.perp_listed import findings
from keeper.model import Call
from keeper.seams import Severity
from keeper.venues.gmx_v2 import GmxV2, book
from keeper.words import Words
from tests.aave_market import encode_answers
from tests.build import ALICE, WALLET
from tests.hedge_relief import GMX, PERP, SHORT, SLOT

pytestmark = pytest.mark.unit
EXECUTOR, BEFORE = "0x" + "e1" * 20, "0x" + "be" * 20


def config(**subaccounts: str) -> SimpleNamespace:
    """Positions of one account on GMX by label, each on a venue of its own with that subaccount."""
    venues = {
        label: SimpleNamespace(name=label, kind="gmx_v2", subaccount=who)
        for label, who in subaccounts.items()
    }
    return SimpleNamespace(
        wallet=SimpleNamespace(address=WALLET),
        positions=tuple(SimpleNamespace(label=x, account=ALICE, venue=x) for x in venues),
        venue=venues.__getitem__,
    )


def reader(*on_the_list: str) -> book.Read:
    """A store with these subaccounts of the account."""

    async def read(calls: Sequence[Call]) -> Words:
        asked = book.CONTAINS_ADDRESS + book.key("SUBACCOUNT_LIST", ALICE)
        assert all(c.target == SLOT.store and c.data[:-32] == asked for c in calls)
        listed = {book.word(a) for a in on_the_list}
        return encode_answers([int(c.data[-32:] in listed).to_bytes(32) for c in calls])

    return read


async def off(settings: SimpleNamespace, read: book.Read) -> tuple[list[tuple[object, str]], str]:
    """(call, whom it takes off) of each row, and the notes."""
    rows, notes = await perp_grant._off(settings, "short", (SLOT, EXECUTOR), read)  # type: ignore[arg-type]
    assert {r["from"] for r in rows} <= {ALICE}
    assert {r["to"] for r in rows} <= {SLOT.subaccounts}
    return [(r["call"], "0x" + str(r["data"])[-40:]) for r in rows], "\n".join(notes)


@pytest.mark.asyncio
async def test_removal__of_what_is_listed__is_printed_for_the_wallet_and_who_ordered_before() -> None:
    settings, gone = config(short=BEFORE), "removeSubaccount"
    rows, notes = await off(settings, reader(WALLET, BEFORE, EXECUTOR))
    assert rows == [(gone, WALLET.lower()), (gone, BEFORE)]
    assert f'venues.short.subaccount = "{EXECUTOR}"' in notes
    assert (await off(settings, reader(EXECUTOR)))[0] == []
    assert (await off(config(short=EXECUTOR), reader(EXECUTOR))) == ([], "")


@pytest.mark.asyncio
async def test_removal__of_a_key_that_another_position_needs__waits_and_says_for_whom() -> None:
    rows, notes = await off(config(short=WALLET, long=WALLET.lower()), reader(WALLET))
    assert rows == []
    assert "unbounded on every market" in notes
    assert "orders for long;" in notes


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("executor", "listed", "told"),
    [(EXECUTOR, True, True), (EXECUTOR, False, False), ("", True, False)],
)
async def test_wallet__beside_an_executor__is_found(executor: str, listed: bool, told: bool) -> None:
    guarded = Guarded(label="short", policy=PERP, venue_id=GMX.id, id=SHORT)
    site = SimpleNamespace(
        guarded=(guarded,),
        venues={GMX.id: GmxV2(replace(SLOT, executor=executor))},
        camera=SimpleNamespace(reader=lambda _: reader(*([WALLET] if listed else []))),
        block=None,
    )
    found = await findings(site, config(short=EXECUTOR))  # type: ignore[arg-type]
    assert [(f.severity, f.code) for f in found] == [(Severity.CRITICAL, "wallet_listed")] * told
    shared = await findings(site, config(short=EXECUTOR, long=WALLET))  # type: ignore[arg-type]
    assert [("long still needs it" in f.why) for f in shared] == [True] * told

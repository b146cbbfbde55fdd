"""A GMX grant after the first hour: what is announced, what was announced and is still enough, and what waits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from eth_utils.crypto import keccak
from typer.testing import CliRunner

from keeper.cli import app, perp_announce, perp_grant
from keeper.cli.perp_announce import Change, Stands
from keeper.cli.perp_terms import FEE, MAX, TRIGGER, Terms, near
from keeper.executor.granted import READY_AT
from keeper.model import Call
from keeper.venues.gmx_v2.book import Read
from keeper.words import Words
from tests import build
from tests.aave_market import encode_answers
from tests.hedge_relief import PERP

pytestmark = pytest.mark.unit
EXECUTOR, WALLET = "0x" + "e1" * 20, "0x" + "Aa" * 20
BLOCK = build.snapshot([]).block
NOW_S = BLOCK.timestamp_s
WANTED = near(
    PERP, (10**10, 30, 86_400, 90_000, 500, False, 80_000, 0, 10**34, 10**32, 10**9, 10**7, 10**17)
)[0]
OLD = [int(n) for n in WANTED]


def coded(terms: Terms) -> bytes:
    return repr(terms).encode()


def announced(ready: dict[bytes, int]) -> Read:
    """An Executor to which these calls are announced."""

    async def read(calls: Sequence[Call]) -> Words:
        at = {READY_AT + keccak(data): s for data, s in ready.items()}
        return encode_answers([at.get(c.data, 0).to_bytes(32) for c in calls])

    return read


def stands(*, late: bool = True, until_s: int = 10**9, **old: int) -> Stands:
    terms = [old.get(f"n{i}", n) for i, n in enumerate(OLD)]
    return Stands(executor=EXECUTOR, now_s=NOW_S, late=late, terms=terms, bots={WALLET.lower(): until_s})


@pytest.mark.asyncio
async def test_terms__that_loosen_after_the_hour__are_those_that_were_announced_and_are_still_enough() -> (
    None
):
    others = near(PERP, WANTED)
    assert (others[4][TRIGGER], others[1][FEE]) == (85_000, 2 * 10**17)
    assert others[4][MAX] - others[0][MAX] == 15_000
    shorter = stands(n0=10**9)
    for ready, chosen, taken in (
        ({}, others[0], "announce first"),
        ({coded(others[5]): NOW_S}, others[5], "now"),
        ({coded(others[0]): NOW_S + 9, coded(others[-4]): NOW_S - 9}, others[-4], "now"),
        ({coded(others[4]): NOW_S + 9}, others[4], "from "),
        ({b"another": NOW_S}, others[0], "announce first"),
    ):
        found = await perp_announce.position(shorter, (PERP, WANTED), coded, announced(ready))
        assert found.data == coded(chosen)
        assert found.taken(NOW_S).startswith(taken)
    for at in (stands(), stands(late=False, n0=10**9)):
        found = await perp_announce.position(at, (PERP, WANTED), coded, announced({}))
        assert (found.data, found.taken(NOW_S)) == (coded(WANTED), "now")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("until_s", "ready_s", "taken"),
    [
        (10**9, 0, "now"),
        (10**9 + 1, 0, "announce first"),
        (10**9 + 1, NOW_S, "now"),
        (10**9 + 1, NOW_S + 1, "from"),
    ],
)
async def test_bot__whose_term_grows__is_announced(until_s: int, ready_s: int, taken: str) -> None:
    found = await perp_announce.bot(stands(), WALLET, until_s, b"bot", announced({b"bot": ready_s}))
    assert found.taken(NOW_S).startswith(taken)


@pytest.mark.parametrize("waits", [True, False])
def test_key__stays_on_the_list__until_the_executor_may_order(waits: bool) -> None:
    changes = {
        "setBot": Change(data=b"bot", loosens=True, ready_s=NOW_S),
        "setPosition": Change(data=b"terms", loosens=True, ready_s=0 if waits else NOW_S),
    }
    off: list[dict[str, object]] = [{"call": "removeSubaccount"}]
    asked = perp_grant.Asked(label="it", actions=1, until_s=1)
    found = perp_grant._in_order(asked, (WALLET, EXECUTOR), changes, ((), (), off, ("mine",)), BLOCK)
    assert [r["call"] for r in found.rows[2:]] == ([] if waits else ["removeSubaccount"])
    assert ("mine" in found.notes) is not waits
    assert any("NotAnnounced" in n and "--announce" in n for n in found.notes) is waits


def test_announcement__without_an_executor__is_refused() -> None:
    told = CliRunner().invoke(app, ["grant", "--subaccount", "x", "--until", "2027-01-01", "--announce"])
    assert told.exit_code == 2
    assert "goes with --deploy" in told.output


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["grant", "--amount", "USDC=1", "--stop"], "goes with --subaccount LABEL"),
        (["grant", "--subaccount", "x", "--stop", "--deploy"], "stands alone"),
    ],
)
def test_stop__beside_what_belongs_to_a_grant__is_refused(typed: list[str], words: str) -> None:
    told = CliRunner().invoke(app, typed)
    assert told.exit_code == 2
    assert words in told.output

"""``keeper adopt`` after a change of the key: what the old one signed is shown, and given up only when asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.chain.endpoints import Endpoints
from keeper.cli.adopt import adopt, row
from keeper.clock import ManualClock
from keeper.journal.read import Reader
from keeper.journal.recover import Standing
from keeper.journal.write import Journal
from keeper.model import IntentState
from keeper.transaction.send import Live
from tests.chain_double import ChainDouble, FakeSigner
from tests.loop_double import CHAIN, settings
from tests.plans import CHAIN_ID, WALLET, plan, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
NEW = "0x" + "bb" * 20


class Closing(ChainDouble):
    """A double that can be hung up on."""

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal in which the old key's plan is open, and a chain that knows nothing of it."""

    async def opened(*_: object) -> Closing:
        return Closing()

    monkeypatch.setattr(Endpoints, "open", opened)
    with Journal.open(settings(tmp_path).journal_path, ManualClock(1.0)) as journal:
        chain = ChainDouble()
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        run(Live(journal, chain, FakeSigner()).act(plan(1, at=chain.head), snapshot(chain.head)))
    return tmp_path


def asked(home: Path, *, accept: bool, give_up: bool) -> Standing:
    """Where the only chain stands for the new key."""
    mine = settings(home)
    mine = replace(
        mine, chains=(replace(CHAIN, chain_id=CHAIN_ID),), wallet=replace(mine.wallet, address=NEW)
    )
    (found,) = run(adopt(mine, accept=accept, give_up=give_up, actor="owner", why="the old key leaked"))
    return found


@pytest.mark.parametrize("accept", [False, True])
def test_adopt__when_another_key_left_an_open_plan__then_it_is_shown_and_stays(
    home: Path, accept: bool
) -> None:
    found = asked(home, accept=accept, give_up=False)

    told = str(row(found, accept=accept)["then"])
    assert f"{plan(1).key} (nonce 0 of {WALLET.lower()})" in told
    assert "--give-up" in told
    with Reader.open(settings(home).journal_path) as journal:
        assert [i.state for i in journal.open_intents()] == [IntentState.SENT]


def test_adopt__when_asked_to_give_up_what_another_key_left__then_nothing_is_open(home: Path) -> None:
    found = asked(home, accept=True, give_up=True)

    assert "given up" in str(row(found, accept=True, give_up=True)["then"])
    with Reader.open(settings(home).journal_path) as journal:
        assert journal.open_intents() == ()
        assert journal.followed_intents() == ()
        (said,) = [e for e in journal.entries("outcome") if "given up by owner" in e.why]
    assert "the old key leaked" in said.why

"""Freeing the cooldowns of many positions at once is freeing each alone."""

from __future__ import annotations

import pytest

from keeper.decision.memory import Memory, PositionMemory
from tests.build import ALICE, BOB, WALLET, position_id

pytestmark = pytest.mark.unit


def test_without_actions__when_several_are_freed__then_it_is_what_each_alone_gives() -> None:
    ids = [position_id(a) for a in (ALICE, BOB, WALLET)]
    known = {
        id: PositionMemory(id=id, since_block=7, last_action_block=100 + n) for n, id in enumerate(ids[:2])
    }
    memory = Memory().with_(known)
    one_by_one = memory.with_action(ids[0], None).with_action(ids[2], None)
    assert memory.without_actions({ids[0], ids[2]}).rows() == one_by_one.rows()
    assert memory.without_actions({ids[0]}).of(ids[1]).last_action_block == 101
    assert memory.without_actions(set()) is memory

"""When the fee of what is sent and not mined is raised, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from keeper.errors import Raced, Transient, Unsigned, Unwritable
from keeper.model import Attempt, Block, Intent, Refusal

_T = TypeVar("_T")

_PATIENCE_BLOCKS = 2
"""An ordinary attempt that pays enough is given this many blocks before its fee is raised anyway."""


def may_raise(intent: Intent, top: Attempt, block: Block) -> bool:
    """Once a block; an approval, which the daemon may not sign anew, only as the self-send that ends it."""
    return block.number > top.sent_block and (bool(intent.plan.steps) or top.cancel)


def wants_bump(intent: Intent, top: Attempt, block: Block) -> bool:
    """The fee rises every block when urgent, when outbid by the base fee, or when patience is over."""
    if not may_raise(intent, top, block):
        return False
    waited = block.number - top.sent_block
    outbid = block.base_fee_wei + top.fee.tip_wei > top.fee.max_fee_wei
    return outbid or intent.plan.urgent or waited >= _PATIENCE_BLOCKS


async def tried(pressing: Awaitable[_T]) -> _T | Refusal:
    """What came of it; what may pass, or concerns this one signature, is a refusal and stops nothing else."""
    try:
        return await pressing
    except (Transient, Raced, Unsigned, Unwritable) as error:
        return Refusal(who="confirmation", code="not pressed", why=str(error))

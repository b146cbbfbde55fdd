"""When the fee of what is sent and not mined is raised, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from typing import TypeVar

from keeper.errors import Broken, Raced, Transient, Unsigned, Unwritable
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


class Failures:
    """What broke while one after another was tended; told once everybody's bytes are out."""

    def __init__(self) -> None:
        self.worst: Transient | Broken | None = None

    @contextmanager
    def kept(self) -> Generator[None]:
        """Whatever fails within keeps nobody behind it from being tended."""
        try:
            yield
        except (Transient, Broken) as error:
            self.keep(error)

    def keep(self, error: Transient | Broken) -> None:
        """To be told at the end, unless something worse is."""
        if self.worst is None or _gravity(error) > _gravity(self.worst):
            self.worst = error

    async def tried(self, pressing: Awaitable[_T]) -> _T | Refusal:
        """What came of it. What may pass, or concerns this one signature, is a refusal and stops nothing else; what
        breaks is a refusal to the plan, whose stored bytes go out all the same, and is kept."""
        try:
            return await pressing
        except (Transient, Raced, Unsigned, Unwritable) as error:
            return Refusal(who="confirmation", code="not pressed", why=str(error))
        except Broken as error:
            self.keep(error)
            return Refusal(who="confirmation", code="broken", why=str(error))


def _gravity(error: Transient | Broken) -> int:
    """What ends by itself must not hide what does not."""
    if isinstance(error, Broken):
        return 1 if isinstance(error, Unwritable) else 2
    return 0

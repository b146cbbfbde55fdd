"""What a plan may be while an earlier one of its position is in doubt: ended without effect, not finally. Pure.

A deeper reorganisation may let the earlier bytes act beside the new ones, under another nonce. Steps of which
both may land (they move our own money towards safety, and never more than the wallet grants) need not wait, nor
sales of one position through one Executor, which takes each number once and in order; all others do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from keeper.errors import Broken, Raced
from keeper.model import (
    AddMargin,
    Block,
    CancelOrder,
    Deleverage,
    Intent,
    IntentState,
    PlaceStop,
    Plan,
    ReducePerp,
    Refusal,
    Repay,
    Snapshot,
    Step,
    Supply,
)

HARMLESS_TWICE: tuple[type[Step], ...] = (
    Supply,
    Repay,
    AddMargin,
    ReducePerp,
    PlaceStop,
    CancelOrder,
)
"""Money into the owner's own position; of a perpetual also a part that is closed twice, which costs a fee of some
basis points and no more than waiting would. Whatever sells, withdraws, borrows or opens is not among them."""


def refuses(plan: Plan, followed: Iterable[Intent], carried: Callable[[Intent, int], Plan]) -> Refusal | None:
    """Why ``plan`` must wait until an earlier plan of its position is final, or None.

    ``followed``: intents whose end the chain may still take back. ``carried``: the plan that an intent's n-th attempt
    is of; any of its bytes may come back, not those alone that it carried last.
    """
    doubtful = [i for i in followed if i.key.position == plan.key.position and i.state.in_vain]
    for earlier in doubtful:
        plans = [plan, earlier.plan, *(carried(earlier, a.n) for a in earlier.attempts if not a.cancel)]
        harmful = [s for p in plans for s in p.steps if not isinstance(s, HARMLESS_TWICE)]
        if harmful and not _once(harmful):
            why = f"{earlier.key} is {earlier.state} but not finally: {_names(harmful)} twice would do harm"
            return Refusal(who="lane", code="in_doubt", why=why)
    return None


def refuse_stale(plan: Plan, snapshot: Snapshot, followed: Iterable[Intent], address: str) -> None:
    """A photograph that does not show the last inclusion of the key with ``address`` would make it act a second time.

    Nonces of another key are not compared with it. Raises Raced, or Broken for a photograph of another wallet.
    """
    if snapshot.means.wallet.lower() != address.lower():
        raise Broken(f"snapshot is of wallet {snapshot.means.wallet}, the key of {address}")
    if plan.block.hash != snapshot.block.hash:
        raise Raced(f"{plan.key} was planned at {plan.block.hash}, not at the snapshot's block")
    for done in followed:
        if done.attempts and done.is_of(address) and done.attempts[-1].nonce >= snapshot.means.nonce:
            raise Raced(f"{plan.key}: the snapshot does not show {done.key}, which is {done.state}")


def refuse_beside(plan: Plan, opened: Iterable[Intent]) -> None:
    """A plan does not grow beside an earlier one of its position that a reorganisation opened again.

    That one's nonce is mined first, and even while it is being cancelled its bytes may act. Raises Raced.
    """
    for first in opened:
        if first.attempts and first.plan.steps and _of(first, plan) and first.key.seq < plan.key.seq:
            raise Raced(f"{plan.key} was made upon {first.key}, which is open again")


def refuse_in_time(intent: Intent, block: Block) -> None:
    """A plan that was renewed while its cancellation waited for its turn is not cancelled. Raises Raced."""
    if intent.may_act and block.number <= intent.plan.bounds.deadline_block:
        raise Raced(f"{intent.key} has time until block {intent.plan.bounds.deadline_block}")


def not_given_up(intent: Intent) -> Intent:
    """``intent``. What was given up while its raise waited is freed by a self-send alone. Raises Raced."""
    if intent.state is IntentState.CANCELLING and not intent.attempts[-1].cancel:
        raise Raced(f"{intent.key} is being cancelled")
    return intent


def after(plan: Plan, opened: Iterable[Intent]) -> tuple[Intent, ...]:
    """Later plans of the position, made upon what ``plan``'s intent did before it was opened again."""
    return tuple(i for i in opened if i.may_act and _of(i, plan) and i.key.seq > plan.key.seq)


def _of(intent: Intent, plan: Plan) -> bool:
    return intent.key.position == plan.key.position


def _once(steps: list[Step]) -> bool:
    """Whether the chain itself sees to it: sales of one position through one Executor.

    Of two under one number one can act. Under different numbers the earlier can act only in the place of another
    that carried it, so never one more than was meant; and before each the Executor asks the trigger anew, so that
    what landed before leaves nothing to sell for.
    """
    sales = [s for s in steps if isinstance(s, Deleverage)]
    return len(sales) == len(steps) and len({(s.executor, s.key) for s in sales}) == 1


def _names(steps: Iterable[Step]) -> str:
    return ", ".join(sorted({type(s).__name__ for s in steps}))

"""A token that takes a fee on its way or calls back: looked for where a plan reverts in words that name nothing.

Lenders, pools and markets refuse such a token in words of their own ("arithmetic overflow", "TF"). One simulated
block tells what it is: a transfer of the plan's own amount, out of the hands in which the token lies, to the one
who would receive it, with that one's balance before and after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from eth_utils.address import to_checksum_address

from keeper.chain.endpoints import Endpoints
from keeper.errors import Transient
from keeper.executor import errors
from keeper.executor.seat import Seated
from keeper.model import Amount, Deleverage, Plan, Repay, Supply
from keeper.seams import Priority, Venue

LOOKED_S = 1.0
_BALANCE_OF, _TRANSFER = "0x70a08231", "0xa9059cbb"
_NOBODY = "0x00000000000000000000000000000000746f6c6c"
"""Receives where no Executor does: its balance changes by what arrives alone."""


def named(data: str | None) -> bool:
    """Whether these revert bytes are an Executor's own refusal, which says what is wrong."""
    text = (data or "").rpartition("0x")[2]
    return _refusal(text) != ""


async def taken(endpoints: Endpoints, plan: Plan, venue: Venue, hands: Sequence[str]) -> str:
    """Which token of the plan loses a fee or calls back, in words; "" where none does or nothing is told.

    ``hands``: who may hold the tokens, beside the venue's own addresses. Never raises for a node that cannot say.
    """
    amounts = {a.token.address: a for a in _moved(plan)}
    places = tuple(dict.fromkeys((*_places(venue, plan), *hands)))
    receiver = next((s.executor for s in plan.steps if isinstance(s, Deleverage)), _NOBODY)
    tries = [(amount, place) for amount in amounts.values() for place in places if place != receiver]
    calls = [call for amount, place in tries for call in _tried(amount, place, receiver)]
    try:
        told = await endpoints.request_elsewhere(
            "eth_simulateV1",
            [{"blockStateCalls": [{"calls": calls}]}, "latest"],
            priority=Priority.TRIGGER,
            timeout_s=LOOKED_S,
        )
        return _said(tries, _answers(told, len(calls)))
    except (Transient, LookupError, TypeError, ValueError):
        return ""


def _moved(plan: Plan) -> Iterator[Amount]:
    for step in plan.steps:
        if isinstance(step, Deleverage):
            yield step.repay
            yield step.sell_max
        elif isinstance(step, Supply | Repay):
            yield step.amount


def _places(venue: Venue, plan: Plan) -> Iterator[str]:
    """Where a venue keeps what it holds of the plan's tokens."""
    if isinstance(venue, Seated):
        receipts = venue.seat(plan.key.position.account).receipts
        yield from (receipts[a.token.address] for a in _moved(plan) if a.token.address in receipts)
    yield venue.spender


def _tried(amount: Amount, place: str, receiver: str) -> tuple[Mapping[str, str], ...]:
    token, to = amount.token.address, receiver[2:].lower().rjust(64, "0")
    balance = {"to": token, "data": _BALANCE_OF + to}
    data = f"{_TRANSFER}{to}{amount.units:064x}"
    return (balance, {"from": to_checksum_address(place), "to": token, "data": data}, balance)


def _answers(told: object, many: int) -> Sequence[Mapping[str, str]]:
    calls = told[0]["calls"]  # type: ignore[index]
    if len(calls) != many:
        raise ValueError(f"{len(calls)} answers to {many} calls")
    return list(calls)


def _said(tries: Sequence[tuple[Amount, str]], answers: Sequence[Mapping[str, str]]) -> str:
    for i, (amount, _) in enumerate(tries):
        before, transfer, after = answers[3 * i : 3 * i + 3]
        if int(transfer["status"], 16) != 1:
            # nobody there holds as much, unless the receiver itself refused
            if refusal := _refusal(transfer["returnData"][2:]):
                return (
                    f"a transfer of {amount.token.symbol} calls its receiver back, and is refused: {refusal}"
                )
            continue
        moved = int(after["returnData"], 16) - int(before["returnData"], 16)
        if moved != amount.units:
            return (
                f"a transfer of {amount.token.symbol} moves {moved} of {amount.units} units: it takes a fee"
            )
    return ""


def _refusal(text: str) -> str:
    """The name of an Executor's own error, by revert bytes in hex; "" for any other."""
    try:
        return errors.SELECTORS.get(bytes.fromhex(text[:8]), "")
    except ValueError:
        return ""

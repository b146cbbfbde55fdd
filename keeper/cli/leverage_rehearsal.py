"""What the chain of now says to a sheet of ``keeper leverage --prepare``: to its loan, and to all of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.errors import Rejected
    from keeper.model import Call, Refusal
    from keeper.seams import Transport

PROBE = "0x602a60005260206000f3"
"""Code that answers 42: what a node says that runs code in another's place, and no other."""
PROBED = "0x" + f"{42:064x}"
VERDICTS = (
    "revert",
    "out of gas",
    "outofgas",
    "gas required exceeds",
    "invalid opcode",
    "vm execution error",
)
"""In an error without data: the call was run, and fails."""


async def rehearsed(
    endpoints: Transport, block_number: int, owner: str, whole: Sequence[Call]
) -> Refusal | bool:
    """The chain's own word at this block: on the loan, ``whole[0]`` (caps, isolation, e-mode, whether one step
    suffices), and on all of the calls at once; whether that was asked: where a MultiSend lies on the chain and the
    node runs code in another's place."""
    from eth_abi.abi import encode

    from keeper.executor import boost, safe

    at = hex(block_number)
    loan = {"from": owner, "to": whole[0].target, "data": "0x" + whole[0].data.hex()}
    if why := await _reverts(endpoints, [loan, at]):
        return boost.refused("pool_refuses", f"the pool refuses the loan: {why}; a smaller --target may pass")
    code = await _code(endpoints, at)
    if not code or not await _runs_another(endpoints, owner, at):
        return False
    # the batch as the owner would run it: for this one call his address has MultiSend's code
    data = safe.MULTI_SEND + encode(["bytes"], [safe.payload(whole)])
    why = await _reverts(endpoints, _as_owner(owner, at, code, "0x" + data.hex()))
    if why:
        return boost.refused("rehearsal_failed", f"all calls together would revert: {why}")
    return why is not None


def _as_owner(owner: str, at: str, code: str, data: str) -> list[object]:
    return [{"from": owner, "to": owner, "data": data}, at, {owner: {"code": code}}]


async def _runs_another(endpoints: Transport, owner: str, at: str) -> bool:
    """Whether the node runs code in another's place; some refuse it, some leave it away without a word."""
    from keeper.errors import Rejected

    try:
        return await endpoints.request("eth_call", _as_owner(owner, at, PROBE, "0x")) == PROBED
    except Rejected:
        return False


async def _code(endpoints: Transport, at: str) -> str:
    """MultiSendCallOnly's, wherever it lies; empty where it does not."""
    from keeper.executor.safe import MULTI_SEND_CALL_ONLY

    for address in MULTI_SEND_CALL_ONLY.values():
        code = await endpoints.request("eth_getCode", [address, at])
        if isinstance(code, str) and len(code) > 2:
            return code
    return ""


async def _reverts(endpoints: Transport, params: list[object]) -> str | None:
    """Why the call reverts, in words; empty where it does not, None where the node did not run it: of a plain call
    every error is its end, for a loan that no node can run is not borrowed."""
    from keeper.errors import Rejected
    from keeper.executor import boost
    from keeper.executor.abi import selector
    from keeper.transaction.simulate import revert_reason

    try:
        await endpoints.request("eth_call", params)
    except Rejected as error:
        if len(params) > 2 and not _verdict(error):
            return None
        return revert_reason(error, {selector(f"{n}()"): n for n in boost.POOL_ERRORS}) or "no reason"
    return ""


def _verdict(error: Rejected) -> bool:
    """A word on the call itself, as against a node that did not run it."""
    said = error.message.lower()
    return bool(error.data) or error.code == 3 or any(word in said for word in VERDICTS)

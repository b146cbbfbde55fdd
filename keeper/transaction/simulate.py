"""Would the plan's call succeed now? ``eth_call`` from the wallet on the newest state; reverts in words."""

from __future__ import annotations

from collections.abc import Mapping

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from keeper.errors import Rejected, Transient
from keeper.model import Plan, Refusal
from keeper.seams import Transport

WHO = "simulation"
_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")
_PANICS = {
    0x01: "assertion failed",
    0x11: "arithmetic overflow",
    0x12: "division by zero",
    0x21: "bad enum value",
    0x22: "bad storage encoding",
    0x31: "pop of an empty array",
    0x32: "index out of bounds",
    0x41: "out of memory",
    0x51: "call of an unset function",
}
"""Solidity documentation, "Panic via assert and Error via require"."""
_REVERT_WORDS = (
    "revert",
    "out of gas",
    "outofgas",
    "invalid opcode",
    "vm execution error",
    "stack underflow",
)
_REVERT_CODES = (3, -32015)
"""3: geth, reth, erigon, anvil. -32015: nethermind, "VM execution error"."""


async def simulate(
    transport: Transport, plan: Plan, sender: str, errors: Mapping[bytes, str]
) -> Refusal | None:
    """None when the call succeeds on the newest state, else Refusal ``simulation_reverted`` with the reason.

    ``errors``: selector -> name of custom errors. Raises Transient when no node could say.
    """
    try:
        await transport.request("eth_call", [_call(plan, sender), "latest"])
    except Rejected as error:
        if not _is_revert(error):
            raise
        return Refusal(who=WHO, code="simulation_reverted", why=revert_reason(error, errors))
    return None


async def why_reverted(
    transport: Transport, sender: str, errors: Mapping[bytes, str], plan: Plan, block_number: int
) -> str:
    """Why the chain reverted the plan in that block, in words; never raises for a node that cannot say.

    Nodes keep no reasons: the call is made again at the end of its block, then of the one before.
    """
    try:
        for number, when in (
            (block_number, "at the end of its block"),
            (block_number - 1, "before its block"),
        ):
            try:
                await transport.request("eth_call", [_call(plan, sender), hex(number)])
            except Rejected as error:
                if _is_revert(error):
                    return f"{revert_reason(error, errors)} {when}"
                raise
    except (Rejected, Transient):
        return "no node can say why"
    return "what stood before it in its block kept it from working, and was undone after it"


def _call(plan: Plan, sender: str) -> dict[str, str]:
    return {
        "from": sender,
        "to": plan.call.target,
        "data": "0x" + plan.call.data.hex(),
        "value": hex(plan.call.value_wei),
        "gas": hex(plan.bounds.gas_limit),
    }


def revert_reason(error: Rejected, errors: Mapping[bytes, str]) -> str:
    """The revert's reason in words: Error(string), Panic(uint256), a known custom error, or its selector."""
    data = _revert_data(error.data)
    if len(data) < 4:
        return error.message
    selector, body = data[:4], data[4:]
    try:
        if selector == _ERROR_STRING:
            return str(decode(["string"], body)[0])
        if selector == _PANIC:
            code = int(decode(["uint256"], body)[0])
            return f"panic 0x{code:02x} ({_PANICS.get(code, 'unknown')})"
    except (DecodingError, OverflowError, UnicodeDecodeError):
        return error.message
    return errors.get(selector, f"custom error 0x{selector.hex()}")


def _is_revert(error: Rejected) -> bool:
    """A verdict on the call, as against a node that could not run it."""
    message = error.message.lower()
    return (
        error.code in _REVERT_CODES
        or len(_revert_data(error.data)) >= 4
        or any(word in message for word in _REVERT_WORDS)
    )


def _revert_data(data: str | None) -> bytes:
    """Revert bytes; some clients put words before them (``Reverted 0x...``)."""
    text = (data or "").rpartition("0x")[2]
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""

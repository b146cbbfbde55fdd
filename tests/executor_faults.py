"""What an Executor reverted with, read back from its bytes: for tests that hold its words against the daemon's."""

from __future__ import annotations

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from keeper.executor.errors import SELECTORS, TABLE, Fault


def fault_from(data: bytes) -> Fault | None:
    """The Executor's refusal in revert data; None for what is none of its errors."""
    name = SELECTORS.get(data[:4])
    if name is None:
        return None
    try:
        return Fault(name=name, values=tuple(decode(TABLE[name].kinds, data[4:])))
    except (DecodingError, OverflowError, ValueError):
        return None

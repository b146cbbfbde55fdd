"""Calldata of a rescue of a Maker vault: the keeper's own proxy runs ``lockGem`` or ``wipe`` of the proxy actions.

Read back from bytes too, because neither the guard nor the signer believes whoever encoded them. Beside it the grant
that a vault's holder gives an Executor. Sources: DSProxy.execute(address,bytes), DssProxyActions.lockGem, wipe and
cdpAllow, DssCdpManager.cdpAllow.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.executor.seat import Permit
from keeper.model import Call

EXECUTE = keccak(text="execute(address,bytes)")[:4]
LOCK_GEM = keccak(text="lockGem(address,address,uint256,uint256,bool)")[:4]
WIPE = keccak(text="wipe(address,address,uint256,uint256)")[:4]
CDP_CAN = keccak(text="cdpCan(address,uint256,address)")[:4]
CDP_ALLOW = keccak(text="cdpAllow(uint256,address,uint256)")[:4]
ALLOW_BY_PROXY = keccak(text="cdpAllow(address,uint256,address,uint256)")[:4]
BOOKS = keccak(text="BOOKS()")[:4]
NAMED = keccak(text="maker()")[:4]
"""Of a MakerExecutor its MakerBooks, and of those what the owner named at deployment."""
_OUTER = ("address", "bytes")
_LOCK = ("address", "address", "uint256", "uint256", "bool")
_WIPE = ("address", "address", "uint256", "uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultCall:
    """What the proxy is told to do."""

    actions: str
    """The contract whose code the proxy runs."""
    manager: str
    join: str
    """The adapter that takes the token: the collateral's, or Dai's."""
    vault: int
    """The vault's number."""
    units: int
    wipes: bool
    """Pays Dai back instead of adding collateral."""


def calldata(call: VaultCall) -> bytes:
    """``execute`` on the proxy."""
    arguments = (call.manager, call.join, call.vault, call.units)
    inner = WIPE + encode(_WIPE, arguments) if call.wipes else LOCK_GEM + encode(_LOCK, (*arguments, True))
    return EXECUTE + encode(_OUTER, (call.actions, inner))


def call_from(data: bytes) -> VaultCall | str:
    """Inverse of ``calldata``; why not, where the bytes are anything else, to the last one."""
    if data[:4] != EXECUTE:
        return f"selector 0x{data[:4].hex()} is not execute"
    try:
        actions, inner = decode(_OUTER, data[4:])
        wipes = inner[:4] == WIPE
        manager, join, vault, units = decode(_WIPE if wipes else _LOCK, inner[4:])[:4]
    except (DecodingError, OverflowError, ValueError) as error:
        return f"execute: calldata does not decode ({type(error).__name__})"
    call = VaultCall(
        actions=str(to_checksum_address(actions)),
        manager=str(to_checksum_address(manager)),
        join=str(to_checksum_address(join)),
        vault=vault,
        units=units,
        wipes=wipes,
    )
    return call if calldata(call) == data else "execute: calldata is not canonical"


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultPermit(Permit):
    """``cdpAllow`` of one vault, by whoever holds it: its owner, or a proxy that obeys him."""

    manager: str
    number: int
    holder: str
    actions: str = ""
    """What the holder runs where it is a proxy; empty where it is the owner."""

    def asked(self, owner: str, executor: str) -> Call:
        """Whether the Executor may act for the vault's holder of when it was loaded, whoever obeys whom."""
        body = encode(["address", "uint256", "address"], [self.holder, self.number, executor])
        return Call(target=self.manager, data=self.asks + body)

    def given(self, executor: str, allowed: bool) -> Call:
        """What the owner signs: to the manager, or to his proxy."""
        if not self.actions:
            body = encode(["uint256", "address", "uint256"], [self.number, executor, int(allowed)])
            return Call(target=self.manager, data=CDP_ALLOW + body)
        words = [self.manager, self.number, executor, int(allowed)]
        inner = ALLOW_BY_PROXY + encode(["address", "uint256", "address", "uint256"], words)
        return Call(target=self.holder, data=EXECUTE + encode(_OUTER, (self.actions, inner)))

"""What may be signed: pinned chain, targets, selectors, and a bound on every single argument. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eth_abi.abi import decode
from eth_utils.address import is_address

from keeper.allowed import SHARES_PER_UNIT, AllowedCall, Argument, canonical, selector_of
from keeper.executor import perp, perp_bounded, vault
from keeper.executor.abi import ADD_COLLATERAL, REPAY_FROM_RESERVE
from keeper.seams import TxFields
from keeper.signer import deadlines
from keeper.signer.bounded import AllowedBounded
from keeper.signer.hedges import AllowedHedge
from keeper.signer.orders import AllowedOrder, AllowedPayIn, paid_by, pay_ins
from keeper.signer.perps import AllowedCancel, AllowedPerp
from keeper.signer.vaults import AllowedVault

__all__ = [
    "GAS_LIMIT_MAX",
    "SHARES_PER_UNIT",
    "AllowedCall",
    "Argument",
    "SigningPolicy",
    "canonical",
    "grant_call",
    "revoke_call",
    "selector_of",
    "spend_of",
]
GAS_LIMIT_MAX = 16_777_216
"""EIP-7825: no transaction may use more gas than 2**24."""
_SPENDING = {
    bytes.fromhex("617ba037"): (0, 1),  # supply(address,uint256,address,uint16)
    bytes.fromhex("573ade81"): (0, 1),  # repay(address,uint256,uint256,address)
    bytes.fromhex("4232cd63"): (1, 2),  # supplyTo(address,address,uint256)
    bytes.fromhex("238d6579"): (1, 5),  # Morpho: supplyCollateral((loan,collateral,..),uint256,address,bytes)
    bytes.fromhex("20b76e81"): (0, 5),  # Morpho: repay((loan,..),uint256 assets,uint256 shares,address,bytes)
}
"""Calls that pay out of the wallet whose rules do not say which words of theirs are the token and the units: also
those of policies that were written before a rule could."""
_BY_SHARES = {bytes.fromhex("20b76e81"): 6}
"""Calls that name shares where they name no units: the word in which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningPolicy:
    """Everything that one key may sign for; all else is refused."""

    chain_id: int
    address: str
    calls: tuple[
        AllowedCall | AllowedVault | AllowedPerp | AllowedCancel | AllowedHedge | AllowedBounded, ...
    ]
    fee_wei_max: int
    """Most wei that gas limit x maxFeePerGas of one transaction may reach."""
    gas_limit_max: int = GAS_LIMIT_MAX
    orders: tuple[AllowedOrder, ...] = ()
    """Sales through the owners' Executors, and pay-ins of the same positions."""

    def refuses(self, tx: TxFields, now_s: float | None = None) -> str | None:
        """Why ``tx`` is not signed, or None. The empty self-send that frees a nonce is always allowed.

        ``now_s``: the clock of a signer that has one, by which no order may be good for long.
        """
        if (why := _malformed(tx)) is not None:
            return why
        if tx.chain_id != self.chain_id:
            return f"chain {tx.chain_id}, pinned to {self.chain_id}"
        if tx.value_wei != perp.fee_wei(tx.data):
            return f"value {tx.value_wei} wei, only {perp.fee_wei(tx.data)} is allowed"
        if not 0 <= tx.nonce < 2**64 - 1:
            return f"nonce {tx.nonce} is out of range"
        if not 21_000 <= tx.gas_limit <= self.gas_limit_max:
            return f"gas limit {tx.gas_limit} is not within 21000..{self.gas_limit_max}"
        if not 0 <= tx.tip_wei <= tx.max_fee_wei:
            return f"tip {tx.tip_wei} is not within 0..{tx.max_fee_wei}"
        if tx.gas_limit * tx.max_fee_wei > self.fee_wei_max:
            return f"fee {tx.gas_limit * tx.max_fee_wei} wei is above the cap of {self.fee_wei_max}"
        late = None if now_s is None else deadlines.refuses(tx.data, now_s)
        return self._refuses_call(tx) or late

    def _refuses_call(self, tx: TxFields) -> str | None:
        target = tx.to.lower()
        if target == self.address.lower():
            return None if not tx.data else "a self-send carries no data"
        every: tuple[
            AllowedCall
            | AllowedVault
            | AllowedPerp
            | AllowedCancel
            | AllowedHedge
            | AllowedBounded
            | AllowedOrder
            | AllowedPayIn,
            ...,
        ] = (
            *self.calls,
            *self.orders,
            *pay_ins(self.orders),
        )
        near = [c for c in every if c.target.lower() == target]
        if not near:
            return f"target {tx.to} is not allowed"
        whys = [c.refuses(tx.data) or self._another(c) for c in near if c.selector == tx.data[:4]]
        if not whys:
            return f"selector 0x{tx.data[:4].hex()} on {tx.to} is not allowed"
        return None if None in whys else "; ".join(dict.fromkeys(w for w in whys if w is not None))

    def _another(self, rule: object) -> str | None:
        """An order that is its sender's own names as its account nobody but this key."""
        if not isinstance(rule, AllowedPerp) or not rule.own or rule.accounts <= {self.address.lower()}:
            return None
        return f"createOrder: {', '.join(sorted(rule.accounts))} is not the key's own account {self.address}"


def _malformed(tx: TxFields) -> str | None:
    """What is not even of the right type: the signing library must not meet it with a key in its hands."""
    for name in ("chain_id", "nonce", "value_wei", "gas_limit", "max_fee_wei", "tip_wei"):
        if type(getattr(tx, name)) is not int:
            return f"{name} is no integer"
    if not isinstance(tx.data, bytes):
        return "data is no bytes"
    return None if is_address(tx.to) else "target is no address"


def spend_of(data: bytes, rules: Iterable[object] = ()) -> tuple[str, int]:
    """(token in lower case, units) that a supply or a repayment takes from the wallet, or from the reserve that an
    owner keeps in his Executor; ("", 0) of the rest: a sale takes nothing of either.

    ``rules``: a policy's; a call is also known by what its rule says that it spends.
    The calldata must have passed a policy: its words are then what they should be.
    """
    if data[:4] == perp.MULTICALL:
        order = perp.order_from(data)
        return (
            ("", 0)
            if isinstance(order, str)
            else (order.collateral.lower() if order.units else "", order.units)
        )
    if data[:4] in (ADD_COLLATERAL, REPAY_FROM_RESERVE):
        paid = paid_by(data)
        return ("", 0) if isinstance(paid, str) else (paid[2], paid[3])
    if data[:4] == vault.EXECUTE:
        return _by_proxy(data, rules)
    if data[:4] in (perp_bounded.ADD, perp_bounded.REDUCE):
        added = perp_bounded.order_from(data)
        if isinstance(added, str) or not added.adds:
            return "", 0
        mine = (r for r in rules if isinstance(r, AllowedBounded) and added.position in r.positions)
        return next((r.collateral.lower() for r in mine), ""), added.amount
    told = (r.spends for r in rules if isinstance(r, AllowedCall) and r.selector == data[:4] and r.spends)
    where = next(told, ()) or _SPENDING.get(data[:4], ())
    if not where:
        return "", 0
    token, units = (data[4 + 32 * at : 36 + 32 * at] for at in where)
    spent = int.from_bytes(units)
    if not spent and (at := _BY_SHARES.get(data[:4])):
        # taken as worth twice what it was born with: the true worth is known to the chain alone
        spent = 2 * -(-int.from_bytes(data[4 + 32 * at : 36 + 32 * at]) // SHARES_PER_UNIT)
    return str(decode(["address"], token)[0]).lower(), spent


def _by_proxy(data: bytes, rules: Iterable[object]) -> tuple[str, int]:
    """The proxy pulls what it locks or wipes out of the wallet that calls it: gem and Dai, each in its own units."""
    run = vault.call_from(data)
    mine = (r for r in rules if isinstance(r, AllowedVault) and r.refuses(data) is None)
    token = next((r.token.lower() for r in mine), "")
    return ("", 0) if isinstance(run, str) or not token else (token, run.units)


def grant_call(token: str, spender: str, units_max: int) -> AllowedCall:
    """``approve`` of one token to one spender, up to ``units_max``; for a grant, never for the daemon."""
    who = Argument(kind="address", among=frozenset({spender.lower()}))
    return AllowedCall(
        target=token, name="approve", arguments=(who, Argument(kind="uint256", at_most=units_max))
    )


def revoke_call(token: str, spender: str) -> AllowedCall:
    """``approve`` of zero: takes back what a grant gave."""
    who = Argument(kind="address", among=frozenset({spender.lower()}))
    return AllowedCall(
        target=token, name="approve", arguments=(who, Argument(kind="uint256", among=frozenset({0})))
    )

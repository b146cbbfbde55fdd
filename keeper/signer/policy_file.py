"""The signer's policy as a file that a person reviews: JSON, refused unless every member is known."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keeper.errors import ConfigError
from keeper.signer.bounded import SELECTORS, AllowedBounded
from keeper.signer.key import read_secret
from keeper.signer.orders import AllowedOrder
from keeper.signer.perps import AllowedCancel, AllowedPerp
from keeper.signer.policy import AllowedCall, Argument, SigningPolicy
from keeper.signer.store import DayCaps
from keeper.signer.vaults import AllowedVault

_MEMBERS = {"chain_id", "address", "fee_wei_max", "fee_wei_per_day", "units_per_day", "calls"}
_PERP_NUMBERS = ("units_max", "fee_wei_max", "price_least", "price_most")
_OPTIONAL = {"bounded", "cancels", "orders", "perps", "vaults"}
_ORDER_MEMBERS = {"target", "position", "collateral", "debt", "routers"}


def to_text(policy: SigningPolicy, caps: DayCaps) -> str:
    """The policy as JSON text; integers as decimal text."""
    body: dict[str, object] = {
        "chain_id": policy.chain_id,
        "address": policy.address,
        "fee_wei_max": str(policy.fee_wei_max),
        "fee_wei_per_day": str(caps.fee_wei),
        "units_per_day": {token: str(units) for token, units in caps.units.items()},
        "calls": [
            {
                "target": call.target,
                "name": call.name,
                "arguments": [_argument_out(a) for a in call.arguments],
                **({"signature": call.signature} if call.signature else {}),
                **({"spends": list(call.spends)} if call.spends else {}),
            }
            for call in policy.calls
            if isinstance(call, AllowedCall)
        ],
    }
    vaults = [call for call in policy.calls if isinstance(call, AllowedVault)]
    if vaults:
        body["vaults"] = [
            {**asdict(v), "numbers": sorted(v.numbers), "units_max": str(v.units_max)} for v in vaults
        ]
    if perps := [call for call in policy.calls if isinstance(call, AllowedPerp)]:
        body["perps"] = [_perp_out(p) for p in perps]
    # without a price there is no order to place, and there may be one to take back
    if targets := {call.target for call in policy.calls if isinstance(call, AllowedCancel)}:
        body["cancels"] = sorted(targets)
    if bounded := [call for call in policy.calls if isinstance(call, AllowedBounded)]:
        body["bounded"] = [_bounded_out(b) for b in bounded]
    if policy.orders:
        body["orders"] = [_order_out(o) for o in policy.orders]
    return json.dumps(body, indent=1) + "\n"


def load(path: Path) -> tuple[SigningPolicy, DayCaps]:
    """From a file that nobody else may read or write. Raises ConfigError naming it."""
    try:
        body = json.loads(read_secret(path))
        if set(body) - _OPTIONAL != _MEMBERS:
            raise ConfigError(
                (f"{path}: members {sorted(set(body) - _OPTIONAL ^ _MEMBERS)} are missing or unknown",)
            )
        policy = SigningPolicy(
            chain_id=int(body["chain_id"]),
            address=str(body["address"]),
            calls=(
                *(_call_in(c) for c in body["calls"]),
                *(_vault_in(v) for v in body.get("vaults", ())),
                *(_perp_in(p) for p in body.get("perps", ())),
                *(AllowedCancel(target=str(t)) for t in body.get("cancels", ())),
                *(_bounded_in(b) for b in body.get("bounded", ())),
            ),
            fee_wei_max=int(body["fee_wei_max"]),
            orders=tuple(_order_in(o) for o in body.get("orders", ())),
        )
        units = {str(t).lower(): int(u) for t, u in body["units_per_day"].items()}
        return policy, DayCaps(fee_wei=int(body["fee_wei_per_day"]), units=units)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError((f"{path}: is no signing policy ({type(error).__name__}: {error})",)) from None


def _order_in(row: Any) -> AllowedOrder:
    if set(row) - {"via"} != _ORDER_MEMBERS:
        raise ValueError(f"order members {sorted(row)}")
    most = {str(t).lower(): None if n is None else int(n) for t, n in row["collateral"].items()}
    return AllowedOrder(
        target=str(row["target"]),
        position=str(row["position"]).lower(),
        collateral=most,
        debt=frozenset(str(t).lower() for t in row["debt"]),
        routers=frozenset(str(r).lower() for r in row["routers"]),
        via=frozenset(str(t).lower() for t in row["via"]) if "via" in row else None,
    )


def _order_out(order: AllowedOrder) -> dict[str, object]:
    return {
        "target": order.target,
        "position": order.position,
        "collateral": {t: None if n is None else str(n) for t, n in order.collateral.items()},
        "debt": sorted(order.debt),
        "routers": sorted(order.routers),
        **({} if order.via is None else {"via": sorted(order.via)}),
    }


def _call_in(row: Any) -> AllowedCall:
    arguments = tuple(_argument_in(a) for a in row["arguments"])
    return AllowedCall(
        target=str(row["target"]),
        name=str(row["name"]),
        arguments=arguments,
        signature=str(row.get("signature", "")),
        spends=tuple(int(at) for at in row.get("spends", ())),
    )


def _argument_in(row: Any) -> Argument:
    if "at_most" in row:
        return Argument(kind=str(row["kind"]), at_most=int(row["at_most"]))
    kind = str(row["kind"])
    among = (str(v).lower() if kind == "address" else int(v) for v in row["among"])
    return Argument(kind=kind, among=frozenset(among))


def _argument_out(argument: Argument) -> dict[str, object]:
    if argument.among:
        return {"kind": argument.kind, "among": sorted(str(v) for v in argument.among)}
    return {"kind": argument.kind, "at_most": str(argument.at_most)}


def _vault_in(body: Any) -> AllowedVault:
    numbers, most = frozenset(int(n) for n in body["numbers"]), int(body["units_max"])
    if not isinstance(body["wipes"], bool):
        raise ValueError("wipes is neither true nor false")
    return AllowedVault(**{**body, "numbers": numbers, "units_max": most})


def _bounded_out(rule: AllowedBounded) -> dict[str, object]:
    numbers = {n: str(getattr(rule, n)) for n in _PERP_NUMBERS}
    return {**asdict(rule), "positions": sorted(rule.positions), **numbers}


def _bounded_in(body: Any) -> AllowedBounded:
    if not isinstance(body["long"], bool) or body["does"] not in SELECTORS:
        raise ValueError("long is neither true nor false, or does is no call of the Executor")
    numbers = {n: int(body[n]) for n in _PERP_NUMBERS}
    positions = frozenset(str(p).lower() for p in body["positions"])
    return AllowedBounded(**{**body, "positions": positions, **numbers})


def _perp_out(perp: AllowedPerp) -> dict[str, object]:
    numbers = {n: str(getattr(perp, n)) for n in _PERP_NUMBERS}
    return {**asdict(perp), "accounts": sorted(perp.accounts), **numbers}


def _perp_in(body: Any) -> AllowedPerp:
    if not isinstance(body["long"], bool) or not isinstance(body.get("own", False), bool):
        raise ValueError("long is neither true nor false, or own is not")
    numbers = {n: int(body[n]) for n in _PERP_NUMBERS}
    accounts = frozenset(str(a).lower() for a in body["accounts"])
    return AllowedPerp(**{**body, "accounts": accounts, **numbers})

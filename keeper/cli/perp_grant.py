"""What the owner of a GMX position signs for an Executor in the keeper's stead: its place, its terms, its grant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from eth_abi.abi import encode
from eth_utils.crypto import keccak

if TYPE_CHECKING:
    from keeper.cli.subaccount import Row
    from keeper.config import PositionSettings, Settings, VenueSettings
    from keeper.model import Block, Policy
    from keeper.seams import Transport
    from keeper.venues.gmx_v2.book import Slot

TERMS = "(uint40,uint32,uint32,uint32,uint16,bool,uint32,uint32,uint128,uint128,uint128,uint128,uint128)"
DEPLOY = "deploy(bytes,address)"
SET_POSITION = f"setPosition(address,address,bool,{TERMS})"
SIZE = "USD"
USD = 10**30
COOLDOWN_S = 30
EPOCH_S = 86_400
STALE_MORE_S, STALE_MAX_S = 3_600, 172_800
SLIPPAGE_BPS = 500
"""Two hundredths above what the keeper asks for: the feed may have moved when the order is mined."""
TRIGGER_MORE_PPM = 5_000
"""Fees and impact are not in the Executor's number: it must let an order pass a little earlier than the policy."""
MAX_TIMES, MAX_MORE_PPM = 3, 50_000
SIZE_LEAST_USD = 100
MARGIN_PART = 100
FEE_GAS, FEE_GWEI_LEAST, FEE_TIMES = 5_000_000, 20, 20
"""An execution may cost so much gas at twenty times today's base fee, and never less than at twenty gwei: who orders
pays it, the owner gets back what is not used, and a storm must not stop a rescue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user wants to be allowed for one position."""

    label: str
    actions: int
    until_s: int
    amounts: Mapping[str, str] = field(default_factory=dict)
    """USD -> size that may be closed in a day; the margin's symbol -> what may be added in a day."""
    guardian: str = ""


def needed(until_s: int | None) -> int:
    """The end of a grant, which must have one. Raises ConfigError."""
    from keeper.errors import ConfigError

    if until_s is None:
        raise ConfigError(("--until: is required: a grant without an end is none",))
    return until_s


async def wanted(settings: Settings, asked: Asked) -> tuple[Row, ...]:
    """The calls in their order. Raises ConfigError, Transient."""
    from keeper.cli import subaccount
    from keeper.daemon.wiring import opened
    from keeper.errors import ConfigError
    from keeper.venues.gmx_v2 import GmxV2

    position, venue = subaccount.found(settings, asked.label)
    if settings.wallet.address is None:
        raise ConfigError(("wallet.address: is not set; it is the bot that the Executor obeys",))
    # as it stands without anybody's leave: what is configured as its subaccount may not be there yet
    bare = replace(settings, venues=(replace(venue, subaccount=None),), positions=(position,), pairs=())
    async with opened(bare, settings.chain(venue.chain)) as site:
        (gmx,) = site.venues.values()
        assert isinstance(gmx, GmxV2)
        slot, block = gmx.slot, site.block
        place, deployments = await _deployment(position, venue, (site.endpoints, block))
    words = _terms(settings.policy(position.policy), slot, asked, block)
    at = (position.account, place)
    rows = [
        *deployments,
        *([_row(at, "setGuardian(address)", asked.guardian)] if asked.guardian else []),
        _row(at, "setBot(address,uint40)", settings.wallet.address, asked.until_s),
        _row(at, SET_POSITION, slot.market, slot.collateral.address, slot.long, words),
    ]
    named = replace(venue, subaccount=place)
    return (*rows, *subaccount.calls(position, named, asked.actions, asked.until_s))


def _terms(policy: Policy, slot: Slot, asked: Asked, block: Block) -> tuple[int | bool, ...]:
    """The struct ``PerpTerms``. Raises ConfigError of an amount that nothing here is called."""
    from keeper.errors import ConfigError
    from keeper.executor.perp_rules import ppm_of
    from keeper.units import GWEI

    symbol = slot.collateral.symbol
    unknown = [s for s in asked.amounts if s not in (SIZE, symbol)]
    if unknown or SIZE not in asked.amounts:
        why = f"write --amount {SIZE}=SIZE, closed in a day at most, and --amount {symbol}=MARGIN"
        raise ConfigError((f"--amount {', '.join(unknown) or SIZE}: {why}",))
    size = int(Decimal(asked.amounts[SIZE]))
    margin = int(Decimal(asked.amounts.get(symbol, "0")).scaleb(slot.collateral.decimals))
    stale_s = max(feed.heartbeat_s for _, feed in slot.feeds) + STALE_MORE_S
    return (
        asked.until_s,
        COOLDOWN_S,
        EPOCH_S,
        min(stale_s, STALE_MAX_S),
        SLIPPAGE_BPS,
        "close_perp" in policy.strategies,
        ppm_of(policy.trigger_wad) + TRIGGER_MORE_PPM,
        MAX_TIMES * ppm_of(policy.target_wad) + MAX_MORE_PPM,
        size * USD,
        min(size, SIZE_LEAST_USD) * USD,
        margin,
        margin // MARGIN_PART,
        FEE_GAS * max(FEE_TIMES * block.base_fee_wei, FEE_GWEI_LEAST * GWEI),
    )


async def _deployment(
    position: PositionSettings, venue: VenueSettings, at: tuple[Transport, Block]
) -> tuple[str, list[Row]]:
    """The Executor's address, and what puts it there where it is not yet. Raises Transient."""
    from keeper.daemon.desks import code
    from keeper.executor import verify
    from keeper.executor.perp_bounded import NAME

    endpoints, block = at
    owner = position.account
    place, factory = (
        verify.executor_address(owner, NAME, venue.provider),
        verify.factory_address(NAME),
    )
    rows: list[Row] = []
    if not await code(factory, endpoints, block):
        creation = verify.artifact(verify.factory_of(NAME)).creation
        rows.append(_raw((owner, verify.CREATE2_DEPLOYER), "deploy the factory", verify.SALT + creation))
    if not await code(place, endpoints, block):
        rows.append(_row((owner, factory), DEPLOY, verify.artifact(NAME).creation, venue.provider))
    return place, rows


def _row(at: tuple[str, str], signature: str, *values: object) -> Row:
    name, _, kinds = signature.partition("(")
    data = keccak(text=signature)[:4] + encode(_kinds(kinds[:-1]), list(values))
    return _raw(at, name, data)


def _raw(at: tuple[str, str], call: str, data: bytes) -> Row:
    return {"call": call, "from": at[0], "to": at[1], "data": "0x" + data.hex(), "value_wei": "0"}


def _kinds(text: str) -> list[str]:
    """Types at the top, a tuple whole."""
    found, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    return found

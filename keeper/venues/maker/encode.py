"""Steps -> one transaction of the keeper's own proxy, or of the owner's Executor; what it would change, never better
than it will be.

Adding collateral and repaying need no leave of the vault's owner (Vat.frob asks none for what makes a vault safer);
the proxy is the keeper's, so nobody else can spend what the keeper granted it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keeper.errors import Unread
from keeper.executor import abi, vault
from keeper.executor.vault import VaultCall
from keeper.model import (
    Amount,
    Block,
    Call,
    Deleverage,
    Holding,
    Means,
    Position,
    Refusal,
    Repay,
    Snapshot,
    Source,
    Step,
    Supply,
    Token,
)
from keeper.seams import Shadow
from keeper.units import RAY, UINT256_MAX, WAD, decimal_text
from keeper.venues.atomic import foreign, lent
from keeper.venues.maker import book, math
from keeper.venues.maker.book import Market

LOCK_GAS = 500_000
WIPE_GAS = 450_000
"""Through a proxy, an adapter and a token behind a proxy of its own; measured near 180k with plain tokens."""
SALE_GAS = {Source.UNISWAP_V3_SWAP: 1_000_000, Source.STEPWISE: 600_000}
FLASH_SALE_GAS = 1_400_000
PAY_IN_GAS = 700_000
STEP_GAS = 700_000
"""Through an Executor: as at the other venues, and a hundred thousand for fees dripped and adapters passed."""


def call(market: Market, step: Step, position: Position) -> Call:
    """The Executor's, or ``lockGem`` or ``wipe`` of the vault's number; a repayment is cut to what is owed."""
    step = lent(step)
    if isinstance(step, Deleverage):
        return abi.deleverage(step)
    if (errand := abi.pay_in_of(step)) is not None:
        return abi.pay_in(errand)
    number = next((v.number for v in market.vaults if v.urn == position.id.account), None)
    if number is None:
        raise ValueError(f"{position.id} has no number")
    units, wipes = step.amount.units, isinstance(step, Repay)
    if not 0 < units < UINT256_MAX:
        raise ValueError(f"{units} units of {step.amount.token.symbol} is no exact amount")
    if wipes:
        units = min(units, sum(h.amount.units for h in position.debt) or units)
    ordered = VaultCall(
        actions=market.actions,
        manager=market.manager,
        join=market.dai_join if wipes else market.gem_join,
        vault=number,
        units=units,
        wipes=wipes,
    )
    return Call(target=market.proxy, data=vault.calldata(ordered))


def gas(step: Step) -> int:
    """A gas limit the step does not exceed."""
    step = lent(step)
    if isinstance(step, Deleverage):
        return SALE_GAS.get(step.source, FLASH_SALE_GAS) + STEP_GAS * len(step.sells)
    if step.through is not None:
        return PAY_IN_GAS
    return LOCK_GAS if isinstance(step, Supply) else WIPE_GAS


def can(market: Market, step: Step, position: Position, means: Means) -> Refusal | None:
    """Why the vault system would revert the step now; None when it would take it."""
    if (no := foreign(step, book.KIND)) is not None:
        return no
    step = lent(step)
    through = isinstance(step, Deleverage) or step.through is not None
    no = _unheld(market, position)
    if no is None and not through:
        no = _no_proxy(market, means)
    if no is not None:
        return no
    amounts = (step.sell_max, step.repay) if isinstance(step, Deleverage) else (step.amount,)
    for amount in amounts:
        reserve = means.reserve(market.id, amount.token)
        if reserve is None:
            return _no("reserve_unread", f"{amount.token.symbol} of {market.name} could not be read")
        if reserve.paused:
            return _no("reserve_paused", "the vault system was shut down")
        if amount.units <= 0:
            return _no("no_amount", f"{amount.units} units of {amount.token.symbol} is nothing to move")
    return _misplaced(market, step, position) or _dusty(market, step, position, means)


def _no_proxy(market: Market, means: Means) -> Refusal | None:
    """Why the keeper's own means do not reach any vault."""
    if market.proxy == book.ZERO:
        return _no("no_proxy", f"venues.{market.name}.proxy: a rescue needs a proxy of the keeper's wallet")
    if means.wallet and market.proxy_owner != means.wallet:
        return _no("not_proxy_owner", f"proxy {market.proxy} obeys {market.proxy_owner}, not {means.wallet}")
    return None


def _unheld(market: Market, position: Position) -> Refusal | None:
    """Why nobody pays for the vault or sells of it: its number is not known, or it (or the proxy that holds it) was
    given away since it was loaded.
    """
    vault_of = next((v for v in market.vaults if v.urn == position.id.account), None)
    if vault_of is None:
        why = f"name the number of vault {position.id.account} in venues.{market.name}.vaults"
        return _no("vault_unknown", why)
    if position.owner == vault_of.holder:
        return None
    was = f"vault {vault_of.number} was held by {vault_of.holder} for {vault_of.owner}"
    why = f"{was} and is {position.owner}'s now: nothing is paid into it and nothing sold of it"
    return _no("vault_given_away", f"{why}, until you name it anew and restart")


def _misplaced(market: Market, step: Supply | Repay | Deleverage, position: Position) -> Refusal | None:
    """A token in another role than the collateral type's, or collateral that is not there."""
    wanted: tuple[tuple[Amount, Token], ...]
    if isinstance(step, Deleverage):
        wanted = ((step.sell_max, market.gem), (step.repay, market.dai))
    else:
        wanted = ((step.amount, market.dai if isinstance(step, Repay) else market.gem),)
    for amount, token in wanted:
        if amount.token != token:
            return _no("no_amount", f"{amount.token.symbol} is not what {market.name} takes for it")
    if isinstance(step, Deleverage) and step.sell_max.units > sum(
        h.amount.units for h in position.collateral
    ):
        return _no("no_collateral", f"vault {position.id.account} has less {market.gem.symbol}")
    return None


def _dusty(
    market: Market, step: Supply | Repay | Deleverage, position: Position, means: Means
) -> Refusal | None:
    """A vault may owe nothing or at least the dust limit, whatever is done with it; by the Vat's stored rate."""
    dai = means.reserve(market.id, market.dai)
    art, rate = sum(h.stored for h in position.debt), dai.borrow_index_ray if dai is not None else 0
    if not isinstance(step, Supply):
        if not art:
            return _no("no_debt", f"vault {position.id.account} owes nothing")
        if not rate:
            return _no("reserve_unread", f"{market.dai.symbol} of {market.name} could not be read")
        paid = step.repay if isinstance(step, Deleverage) else step.amount
        # all that is owed by then is paid, whatever the fees add
        art -= art if isinstance(step, Deleverage) and step.whole else math.wiped_down(paid.units, art, rate)
    if 0 < art * rate < market.dust:
        least = decimal_text(market.dust // RAY, 18)
        return _no(
            "dust", f"a vault of {market.ilk_name} owes nothing or at least {least} {market.dai.symbol}"
        )
    return None


def after(market: Market, steps: Sequence[Step], position: Position) -> Position:
    """The vault after the steps at the same price and rate; amounts and health rounded against us."""
    if not steps:
        return position
    collateral, debt = list(position.collateral), list(position.debt)
    for step in map(lent, steps):
        if isinstance(step, Supply):
            added = step.amount.units * market.gem_scale
            collateral = [_pledged(h, h.stored + added) for h in collateral]
        else:
            paid = step.repay if isinstance(step, Deleverage) else step.amount
            debt = [_owed(h, paid.units) for h in debt]
        if isinstance(step, Deleverage):
            sold = step.sell_max.units * market.gem_scale
            collateral = [_pledged(h, max(0, h.stored - sold)) for h in collateral]
    collateral = [h for h in collateral if h.stored]
    debt = [h for h in debt if h.stored]
    owed = sum(h.value_base for h in debt)
    allowed = sum(h.value_base * h.threshold_wad for h in collateral)
    a = tuple(h.value_base / h.price_base * (h.threshold_wad / WAD) for h in collateral) or (0.0,)
    return replace(
        position,
        collateral=tuple(collateral),
        debt=tuple(debt),
        health_wad=allowed // owed if owed else UINT256_MAX,
        row=replace(position.row, a=a, b0=owed / WAD),
    )


def _pledged(held: Holding, ink: int) -> Holding:
    scale = held.stored // held.amount.units if held.amount.units else 1
    return replace(
        held,
        amount=Amount(token=held.amount.token, units=ink // max(scale, 1)),
        stored=ink,
        value_base=ink * held.price_base // WAD,
    )


def _owed(held: Holding, paid: int) -> Holding:
    """Debt after a repayment: by the accrued rate, which wipes at most as much as the Vat's own."""
    units, art = held.amount.units, held.stored
    left = art - min(art, paid * art // max(units, 1))
    owed = -(-left * units // max(art, 1))
    value = -(-held.value_base * owed // max(units, 1))
    return replace(held, amount=Amount(token=held.amount.token, units=owed), stored=left, value_base=value)


def fill(market: Market, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
    """Stored integers after the steps, had they been executed at ``block``; by the Vat's stored rate.

    Raises Unread when the snapshot does not hold the vault or its collateral type.
    """
    position = snapshot.position(shadow.id)
    dai = snapshot.means.reserve(market.id, market.dai)
    if position is None or dai is None or not dai.borrow_index_ray:
        raise Unread(f"{shadow.id} or its type is not in the snapshot of block {snapshot.block.number}")
    gem_at, dai_at = market.gem.address, market.dai.address
    ink = shadow.collateral.get(gem_at, sum(h.stored for h in position.collateral))
    art = shadow.debt.get(dai_at, sum(h.stored for h in position.debt))
    for step in map(lent, steps):
        if isinstance(step, Supply):
            ink += step.amount.units * market.gem_scale
            continue
        paid = step.repay if isinstance(step, Deleverage) else step.amount
        art -= math.wiped_down(paid.units, art, dai.borrow_index_ray)
        if isinstance(step, Deleverage):
            ink = max(0, ink - step.sold * market.gem_scale)
    return Shadow(
        id=shadow.id,
        collateral={**shadow.collateral, gem_at: ink},
        debt={**shadow.debt, dai_at: art},
    )


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=book.KIND, code=code, why=why)

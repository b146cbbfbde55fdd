"""Leverage back up, as a sheet that the owner signs: what is borrowed, bought and supplied, and why it is not. Pure.

No key of the keeper's can do any of it. Sizes: with C assets, D debt, E = C - D, a target T, and k the share of what
is borrowed that surely comes back as collateral, b = (T E - C) / (k + T (1 - k)). What is supplied is the least that
the swap may bring, for a batch cannot pass on what it brought; what it brings above that stays in the owner's wallet.

Sources: IPool.borrow and supply of Aave v3; ISwapRouter.exactInputSingle of Uniswap v3 (the router whose parameters
have a deadline); ReserveConfiguration of Aave v3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode

from keeper.executor.abi import selector
from keeper.executor.grants import APPROVE, Signing
from keeper.model import Amount, Call, Holding, Position, Refusal, Token
from keeper.phrases import amount_text, health_text, minute_text
from keeper.units import BPS, UINT256_MAX, WAD, mul_div_down, mul_div_up

WHO = "boost"
VARIABLE_RATE = 2
FEES = (100, 500, 3_000, 10_000)
BORROW = selector("borrow(address,uint256,uint256,uint16,address)")
SUPPLY = selector("supply(address,uint256,address,uint16)")
SWAP_IN = "(address,address,uint24,address,uint256,uint256,uint256,uint160)"
EXACT_INPUT_SINGLE = selector(f"exactInputSingle({SWAP_IN})")
QUOTE_INPUT = selector("quoteExactInput(bytes,uint256)")
"""QuoterV2; its first word is the amount out."""
ACTIVE, FROZEN, BORROWING, PAUSED, ISOLATED_TOO, SILOED = 56, 57, 58, 60, 61, 62
CAP, SUPPLY_CAP, CEILING = 80, 116, 212
"""Bits of a reserve's configuration: borrow and supply cap in whole tokens (36 each), the debt ceiling (40)."""
POOL_ERRORS = (
    "BorrowCapExceeded",
    "BorrowingNotEnabled",
    "CollateralCannotCoverNewBorrow",
    "DebtCeilingExceeded",
    "AssetNotBorrowableInIsolation",
    "SiloedBorrowingViolation",
    "NotBorrowableInEMode",
    "HealthFactorLowerThanLiquidationThreshold",
    "LtvValidationFailed",
    "ReserveFrozen",
    "ReservePaused",
    "ReserveInactive",
    "PriceOracleSentinelCheckFailed",
    "InvalidAmount",
    "UserInIsolationModeOrLtvZero",
)
"""Custom errors of Aave v3.4 and later with which ``borrow`` ends; earlier ones revert with numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A loan that could be geared up: sums in base units, the debt that grows, the collateral that is bought."""

    assets_base: int
    debt_base: int
    weighted_base: int
    base_decimals: int
    buys: Holding
    owes: Holding
    several: bool
    """Whether it owes more than one asset."""

    @property
    def leverage_wad(self) -> int:
        """Assets over equity."""
        return self.assets_base * WAD // (self.assets_base - self.debt_base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the owner asks for and what he will not accept."""

    target_wad: int
    """Leverage."""
    health_min_wad: int
    loss_bps: int
    """Of what is borrowed, at the oracle's prices: more is not lost to pool, fee and disagreement."""
    slippage_bps: int
    """Below the quote of now."""
    deadline_s: int
    between_min_wad: int = 0
    """Of health once it is borrowed and before it is supplied; 0 where all of it is one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """What one pool gives now."""

    fee: int
    sold: int
    bought: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Boost:
    """What is signed, and what it leads to at the prices of its block."""

    loan: Loan
    borrow_units: int
    least_units: int
    """Of the collateral: what the swap brings at the least, and what is supplied."""
    quoted: Quoted
    leverage_wad: int
    health_wad: int
    between_wad: int
    """Health once it is borrowed and before it is supplied: the debt is up, the collateral is not."""
    lost_bps: int
    """What the least is worth below what is borrowed, by the oracle."""

    @property
    def surplus_units(self) -> int:
        """What stays in the owner's wallet if the swap brings what was quoted."""
        return self.quoted.bought - self.least_units


def loan_of(position: Position) -> Loan | Refusal:
    """The position as a loan: its largest counted collateral and its largest debt."""
    held = [h for h in position.collateral if h.threshold_wad]
    if (
        position.perp is not None
        or position.health_wad in (None, UINT256_MAX)
        or not (held and position.debt)
    ):
        return refused("no_loan", "it is no loan with collateral that counts and with debt")
    assets = sum(h.value_base for h in position.collateral)
    debt = sum(h.value_base for h in position.debt)
    if assets <= debt:
        return refused("no_equity", "it owes as much as it holds")
    return Loan(
        assets_base=assets,
        debt_base=debt,
        weighted_base=sum(h.value_base * h.threshold_wad // WAD for h in held),
        base_decimals=position.base_decimals,
        buys=max(held, key=lambda h: h.value_base),
        owes=max(position.debt, key=lambda h: h.value_base),
        several=len(position.debt) > 1,
    )


def borrow_units(loan: Loan, target_wad: int, kept_wad: int) -> int:
    """Debt units that bring the loan to the target where ``kept_wad`` of them comes back; 0 at or above it. What a
    pool gives above the oracle's price is not counted on."""
    equity = loan.assets_base - loan.debt_base
    missing = target_wad * equity - loan.assets_base * WAD
    if missing <= 0:
        return 0
    kept = min(kept_wad, WAD)
    base = missing // (kept + mul_div_up(target_wad, WAD - kept, WAD))
    return mul_div_down(base, 10**loan.owes.amount.token.decimals, loan.owes.price_base)


def kept_wad(loan: Loan, quoted: Quoted, terms: Terms) -> int:
    """The share of what is sold that surely comes back, at the oracle's prices."""
    worth = mul_div_down(
        _least(loan, quoted, terms), loan.buys.price_base, 10**loan.buys.amount.token.decimals
    )
    paid = mul_div_up(quoted.sold, loan.owes.price_base, 10**loan.owes.amount.token.decimals)
    return worth * WAD // paid if paid else 0


def best(quotes: Sequence[Quoted]) -> Quoted | None:
    """The pool that gives most."""
    return max(quotes, key=lambda q: q.bought, default=None)


def planned(loan: Loan, quoted: Quoted, terms: Terms) -> Boost | Refusal:
    """What selling ``quoted.sold`` of what is borrowed leads to, or which of the owner's bounds it breaks."""
    fair, lost = _fair(loan, quoted.sold), terms.loss_bps
    if quoted.bought * BPS < fair * (BPS - lost):
        less = BPS - quoted.bought * BPS // max(fair, 1)
        return refused(
            "impact",
            f"the pool gives {_pct(less)} less than the oracle's price, at most {_pct(lost)} is lost",
        )
    if quoted.bought * BPS > fair * (BPS + lost):
        more = quoted.bought * BPS // max(fair, 1) - BPS
        return refused(
            "oracle_apart", f"the pool gives {_pct(more)} more than the oracle's price: one of them is wrong"
        )
    least = _least(loan, quoted, terms)
    buys, owes = loan.buys, loan.owes
    gained = mul_div_down(least, buys.price_base, 10**buys.amount.token.decimals)
    owed = loan.debt_base + mul_div_up(quoted.sold, owes.price_base, 10**owes.amount.token.decimals)
    health = (loan.weighted_base + mul_div_down(gained, buys.threshold_wad, WAD)) * WAD // owed
    if health < terms.health_min_wad:
        at, wanted = health_text(health), health_text(terms.health_min_wad)
        return refused("health_too_low", f"health after it would be {at}, at least {wanted} is asked for")
    between = loan.weighted_base * WAD // owed
    if between < terms.between_min_wad:
        at, wanted = health_text(between), health_text(terms.between_min_wad)
        return refused(
            "health_between",
            f"each call is mined alone, and between borrow and supply health would be {at}, at least {wanted} is "
            "asked for: use --safe or a smaller --target",
        )
    assets = loan.assets_base + gained
    return Boost(
        loan=loan,
        borrow_units=quoted.sold,
        least_units=least,
        quoted=quoted,
        leverage_wad=assets * WAD // (assets - owed),
        health_wad=health,
        between_wad=between,
        lost_bps=BPS - least * BPS // fair,
    )


def barred(loan: Loan, config: int, pledged: Sequence[int], owed_units: int, units: int) -> Refusal | None:
    """Why the debt's reserve may not be borrowed from: its configuration word, those of the collateral that counts,
    all that is owed of it, and the units wanted."""
    token = loan.owes.amount.token
    if shut := _shut(token, config):
        return shut
    if not config >> BORROWING & 1:
        return refused("not_borrowable", f"{token.symbol} may not be borrowed")
    if config >> SILOED & 1 and loan.several:
        return refused("siloed", f"{token.symbol} may be owed alone only, and another asset is owed")
    if any(word >> CEILING & (2**40 - 1) for word in pledged) and not config >> ISOLATED_TOO & 1:
        return refused(
            "isolated", f"the collateral is isolated, and {token.symbol} may not be borrowed against it"
        )
    cap = (config >> CAP & (2**36 - 1)) * 10**token.decimals
    if cap and owed_units + units > cap:
        room = amount_text(Amount(token=token, units=max(0, cap - owed_units)))
        return refused("borrow_cap", f"under its borrow cap there is room for {room}")
    return None


def unsupplied(loan: Loan, config: int, held_units: int, units: int) -> Refusal | None:
    """Why what is bought could not be supplied: its reserve's configuration word, all that is supplied of it (without
    the treasury's share, which the rehearsal counts), and the units wanted."""
    token = loan.buys.amount.token
    if shut := _shut(token, config):
        return shut
    cap = (config >> SUPPLY_CAP & (2**36 - 1)) * 10**token.decimals
    if cap and held_units + units > cap:
        room = amount_text(Amount(token=token, units=max(0, cap - held_units)))
        return refused("supply_cap", f"under its supply cap there is room for {room}")
    return None


def _shut(token: Token, config: int) -> Refusal | None:
    """Neither borrowed nor supplied there."""
    for bit, wanted, code, why in (
        (ACTIVE, 1, "inactive", "is not active"),
        (PAUSED, 0, "paused", "is paused"),
        (FROZEN, 0, "frozen", "is frozen"),
    ):
        if config >> bit & 1 != wanted:
            return refused(code, f"{token.symbol} {why}")
    return None


def quote_call(quoter: str, loan: Loan, fee: int, units: int) -> Call:
    """What one pool gives for ``units`` of the debt."""
    sell, buy = (bytes.fromhex(h.amount.token.address[2:]) for h in (loan.owes, loan.buys))
    return Call(
        target=quoter, data=QUOTE_INPUT + encode(["bytes", "uint256"], [sell + fee.to_bytes(3) + buy, units])
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the calls go, and what the owner allowed there before."""

    pool: str
    router: str
    owner: str
    allowed: tuple[int, int] = (0, 0)
    """(the router's of the debt, the pool's of the collateral)."""


def borrow_call(place: Place, token: Token, units: int) -> Call:
    """``borrow`` in the owner's own name."""
    kinds = ["address", "uint256", "uint256", "uint16", "address"]
    return Call(
        target=place.pool, data=BORROW + encode(kinds, [token.address, units, VARIABLE_RATE, 0, place.owner])
    )


def signings(found: Boost, place: Place, terms: Terms) -> tuple[Signing, ...]:
    """The calls in their order, each with its meaning."""
    owes, buys = found.loan.owes.amount.token, found.loan.buys.amount.token
    borrowed, least = (
        amount_text(Amount(token=t, units=n))
        for t, n in ((owes, found.borrow_units), (buys, found.least_units))
    )
    until = minute_text(terms.deadline_s)
    body = (owes.address, buys.address, found.quoted.fee, place.owner, terms.deadline_s, found.borrow_units)
    swap = Call(
        target=place.router, data=EXACT_INPUT_SINGLE + encode([SWAP_IN], [(*body, found.least_units, 0)])
    )
    supply = Call(
        target=place.pool,
        data=SUPPLY
        + encode(
            ["address", "uint256", "address", "uint16"], [buys.address, found.least_units, place.owner, 0]
        ),
    )
    return (
        Signing(
            call=borrow_call(place, owes, found.borrow_units),
            signs=f"borrow({owes.address}, {found.borrow_units}, {VARIABLE_RATE}, 0, {place.owner}) on {place.pool}",
            meaning=f"{borrowed} is borrowed at the variable rate: new debt of yours",
        ),
        *_approvals(owes, place.router, found.borrow_units, place.allowed[0]),
        Signing(
            call=swap,
            signs=f"exactInputSingle({(*body, found.least_units, 0)}) on {place.router}",
            meaning=f"all of it is swapped in the pool of {found.quoted.fee / 10_000:g} % for {least} at the least "
            f"({_pct(found.lost_bps)} below the oracle's price), to you, until {until}; after that it reverts",
        ),
        *_approvals(buys, place.pool, found.least_units, place.allowed[1]),
        Signing(
            call=supply,
            signs=f"supply({buys.address}, {found.least_units}, {place.owner}, 0) on {place.pool}",
            meaning=f"{least} is supplied as your collateral; what the swap brought above it stays in your wallet",
        ),
    )


def _approvals(token: Token, spender: str, units: int, was: int) -> tuple[Signing, ...]:
    """The exact amount, spent by the next call; 0 first where something was allowed, as some tokens ask."""
    said = amount_text(Amount(token=token, units=units))
    steps = [(units, f"{spender} may take {said}, which the next call uses up")]
    if was:
        steps.insert(0, (0, f"what {spender} was allowed before is taken back"))
    return tuple(
        Signing(
            call=Call(target=token.address, data=APPROVE + encode(["address", "uint256"], [spender, n])),
            signs=f"approve({spender}, {n}) on {token.address}",
            meaning=why,
        )
        for n, why in steps
    )


def _fair(loan: Loan, sold: int) -> int:
    """Collateral units that so many debt units are worth by the oracle, rounded up."""
    top = sold * loan.owes.price_base * 10**loan.buys.amount.token.decimals
    up: int = -(-top // (loan.buys.price_base * 10**loan.owes.amount.token.decimals))
    return up


def _least(loan: Loan, quoted: Quoted, terms: Terms) -> int:
    """What the swap must bring: the oracle's bound, and the quote's where that is more."""
    by_oracle = mul_div_up(_fair(loan, quoted.sold), BPS - terms.loss_bps, BPS)
    return max(by_oracle, mul_div_down(quoted.bought, BPS - terms.slippage_bps, BPS))


def _pct(bps: int) -> str:
    return f"{bps / 100:g} %"


def refused(code: str, why: str) -> Refusal:
    """No sheet, by name."""
    return Refusal(who=WHO, code=code, why=why)

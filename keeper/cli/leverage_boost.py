"""``keeper leverage --target L --prepare FILE``: the sheet that an owner signs to gear a loan up; nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keeper.cli.leverage_sheet import Sheet
    from keeper.config import Settings
    from keeper.daemon.facts import Guarded
    from keeper.daemon.wiring import Site, View
    from keeper.executor.boost import Boost, Loan, Place, Quoted, Terms
    from keeper.model import Holding, Policy, Position, Refusal
    from keeper.words import Words

MINUTES_MAX = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user asks of the sheet."""

    target: float
    labels: Sequence[str] = ()
    cost_pct: float = 0.5
    """Of a sale and its return: the width of the band below whose edge there is something to do."""
    loss_pct: float = 1.0
    slippage_pct: float = 0.3
    margin: float = 0.10
    """Of health above the policy's target."""
    minutes: int = 30
    safe: bool = False


def command(settings: Settings, asked: Asked, out: Path) -> int:
    """Writes the sheet and shows it; 1 with the reason where it is refused, and nothing is written: what an earlier
    run left there goes first, for it would look fresh."""
    from keeper.cli import endings, kernels, leverage_sheet, owner_grant
    from keeper.model import Refusal

    checked(asked)
    leverage_sheet.clear(out)
    kernels.prepare()
    found = endings.drive(prepared(settings, asked))
    if isinstance(found, Refusal):
        endings.say(f"refused ({found.code}): {found.why}; nothing was written")
        return 1
    leverage_sheet.write(out, leverage_sheet.document(found))
    owner_grant.show(replace(found.wanted, safe=None), json=False)
    print("\n".join(leverage_sheet.promise_text(found)))
    endings.say(f"sheet: {out}")
    return 0


def checked(asked: Asked) -> None:
    """Options within their bounds. Exit 2."""
    from keeper.cli.endings import usage

    for option, value, low, high in (
        ("--loss", asked.loss_pct, 0.05, 3.0),
        ("--slippage", asked.slippage_pct, 0.0, asked.loss_pct),
        ("--margin", asked.margin, 0.02, 10.0),
        ("--minutes", asked.minutes, 2, MINUTES_MAX),
    ):
        if not low <= value <= high:
            raise usage(option, f"{value:g} is not from {low:g} to {high:g}")


async def prepared(settings: Settings, asked: Asked) -> Sheet | Refusal:
    """The sheet, or why there is none. Raises ConfigError (no such position; with ``safe`` an owner that is none),
    Transient."""
    from keeper.daemon.wiring import opened
    from keeper.decision.band import banded
    from keeper.executor import boost

    named = _named(settings, asked.labels)
    venue = settings.venue(named.venue)
    async with opened(settings, settings.chain(venue.chain)) as site:
        guarded = next(g for g in site.guarded if g.label == named.label)
        view = await site.view()
        position = view.snapshot.position(guarded.id)
        if position is None:
            return boost.refused("unread", f"{named.label} cannot be read")
        loan = boost.loan_of(position)
        if not isinstance(loan, boost.Loan):
            return loan
        for refused in (
            beside(loan, guarded.policy, asked),
            warned(settings, site.block.timestamp_s),
            await doubted(site, view, position),
        ):
            if refused is not None:
                return refused
        trigger = banded(guarded.policy, position).trigger_wad
        ground = _Ground(site=site, guarded=guarded, loan=loan, trigger_wad=trigger)
        return await _sized(ground, position.collateral, asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    site: Site
    guarded: Guarded
    loan: Loan
    trigger_wad: int
    """Health below which the daemon acts, by the policy's own band of leverage too."""

    @property
    def owner(self) -> str:
        """Who signs: whose account it is."""
        return self.guarded.id.account


async def _sized(on: _Ground, pledged: Sequence[Holding], asked: Asked) -> Sheet | Refusal:
    """What the pools of now make of it."""
    from keeper.cli import leverage_rehearsal
    from keeper.cli.leverage_sheet import NAME, Sheet
    from keeper.cli.owner_grant import Wanted
    from keeper.cli.owner_place import safe_of
    from keeper.executor import boost
    from keeper.units import WAD

    loan, terms = on.loan, _terms(on, asked)
    quoted: Quoted | None = None
    for _ in range(2):
        kept = WAD if quoted is None else boost.kept_wad(loan, quoted, terms)
        units = boost.borrow_units(loan, terms.target_wad, kept)
        quoted = await _quoted(on, units)
        if quoted is None:
            pair = f"{loan.owes.amount.token.symbol} for {loan.buys.amount.token.symbol}"
            return boost.refused("no_pool", f"no pool of Uniswap v3 sells so much {pair} directly")
    assert quoted is not None
    found = boost.planned(loan, quoted, terms)
    if not isinstance(found, boost.Boost):
        return found
    refused = await _barred(on, found, pledged)
    if refused is not None:
        return refused
    place = await _place(on)
    sheet = boost.signings(found, place, terms)
    calls = [s.call for s in sheet]
    rehearsed = await leverage_rehearsal.rehearsed(on.site.endpoints, on.site.block.number, on.owner, calls)
    if not isinstance(rehearsed, bool):
        return rehearsed
    wanted = Wanted(
        chain_id=on.site.chain.chain_id,
        owner=on.owner,
        signings=sheet,
        safe=await safe_of(on.site, on.owner) if asked.safe else None,
        name=NAME,
        notes=_notes(asked, rehearsed=rehearsed),
        now_s=on.site.block.timestamp_s,
    )
    return Sheet(wanted=wanted, boost=found, label=on.guarded.label, deadline_s=terms.deadline_s)


def _notes(asked: Asked, *, rehearsed: bool) -> tuple[str, ...]:
    order = (
        "all of it is one batch: it is done whole or not at all"
        if asked.safe
        else "in this order, each once the one before is mined; if the swap is refused, repay what was borrowed"
    )
    ran = (
        "rehearsed whole on the chain of now" if rehearsed else "of these calls the loan alone was rehearsed"
    )
    return (
        order,
        ran,
        "no call asks what health is by then: what the market does until it is executed is yours, which is why the "
        "swap expires",
    )


def _terms(on: _Ground, asked: Asked) -> Terms:
    from keeper.executor import boost
    from keeper.units import WAD

    margin_wad = round(asked.margin * 10**6) * WAD // 10**6
    return boost.Terms(
        target_wad=round(asked.target * 10**6) * WAD // 10**6,
        health_min_wad=on.guarded.policy.target_wad + margin_wad,
        between_min_wad=0 if asked.safe else on.trigger_wad + margin_wad,
        loss_bps=round(asked.loss_pct * 100),
        slippage_bps=round(asked.slippage_pct * 100),
        deadline_s=on.site.block.timestamp_s + 60 * asked.minutes,
    )


def beside(loan: Loan, policy: Policy, asked: Asked) -> Refusal | None:
    """Why the band asks for no more leverage."""
    from keeper.executor import boost
    from keeper.risk.leverage.ratios import band
    from keeper.units import wad_float

    now = wad_float(loan.leverage_wad)
    low, _ = band(asked.target, asked.cost_pct / 100.0)
    if now >= asked.target:
        return boost.refused("at_target", f"leverage is {now:.4g}, not below {asked.target:g}")
    if now >= low:
        return boost.refused(
            "inside_band", f"leverage is {now:.4g}, within the band that begins at {low:.4g} (--cost)"
        )
    most = wad_float(policy.leverage_max_wad)
    if most and asked.target > most:
        return boost.refused(
            "above_band", f"the policy's own band ends at {most:g}: the keeper would sell it back"
        )
    return None


def warned(settings: Settings, at_s: int) -> Refusal | None:
    """Why it is not now: the early warning that stands, where somebody measures it."""
    from keeper.daemon.beside import WARNING_FILE, omen_of
    from keeper.decision.tighten import stale
    from keeper.executor import boost

    omen = omen_of(settings.state_dir / WARNING_FILE)
    if omen is None or not omen.stands or stale(omen, at_s):
        return None
    return boost.refused("warning", f"an early warning stands ({omen.score:.2f}, line {omen.line:g})")


SECOND_WORDS = ("market_unread", "ticker_refused")
"""A second opinion that is not to be had: the quote of the swap itself is one, and is held against the oracle."""


async def doubted(site: Site, view: View, position: Position) -> Refusal | None:
    """Why the prices behind it are not believed: what ``keeper check`` would warn of its feeds, or of all of them."""
    from keeper.daemon import oracles
    from keeper.executor import boost
    from keeper.oracle.faults import CODES
    from keeper.seams import Severity

    believed = set(CODES) - {*SECOND_WORDS}
    found = await oracles.findings(site, view.snapshot)
    others = view.snapshot.prices.keys() - set(position.row.feeds)
    bad = [
        f for f in found if f.severity is not Severity.INFO and f.code in believed and f.subject not in others
    ]
    if not bad:
        return None
    said = "; ".join(f"{f.code} {f.subject}: {f.why}" for f in bad[:3])
    return boost.refused("oracle_doubtful", said)


async def _quoted(on: _Ground, units: int) -> Quoted | None:
    from keeper.errors import ConfigError
    from keeper.executor import boost

    quoter = on.site.chain.uniswap_quoter
    if quoter is None:
        raise ConfigError((f"chains.{on.site.chain.name}.uniswap_quoter: is not set, and none is known",))
    if not units:
        return None
    calls = [boost.quote_call(quoter, on.loan, fee, units) for fee in boost.FEES]
    words = await on.site.camera.reader(on.site.block)(calls)
    return boost.best(
        [
            boost.Quoted(fee=fee, sold=units, bought=words.uint(i))
            for i, fee in enumerate(boost.FEES)
            if words.ok[i] and words.count[i]
        ]
    )


async def _barred(on: _Ground, found: Boost, pledged: Sequence[Holding]) -> Refusal | None:
    """What the pool's own configuration says against it."""
    from keeper.executor import boost
    from keeper.executor.abi import selector
    from keeper.executor.quotes import CONFIGURATION
    from keeper.model import Call

    owes, buys = on.loan.owes.amount.token, on.loan.buys.amount.token
    counted = [h.amount.token for h in pledged if h.threshold_wad]
    pool = on.site.venues[on.guarded.venue_id].spender
    listed = {x.token: x for x in _listings(on)}
    asks = selector("totalSupply()")
    words = await _read(
        on,
        [
            *(
                Call(target=pool, data=CONFIGURATION + bytes.fromhex(t.address[2:]).rjust(32, b"\0"))
                for t in (owes, *counted)
            ),
            Call(target=listed[owes].debt_token, data=asks),
            Call(target=listed[buys].a_token, data=asks),
        ],
    )
    *configs, owed, held = (words.uint(i) for i in range(3 + len(counted)))
    bought = configs[1 + counted.index(buys)]
    return boost.barred(on.loan, configs[0], configs[1:], owed, found.borrow_units) or boost.unsupplied(
        on.loan, bought, held, found.least_units
    )


async def _place(on: _Ground) -> Place:
    from keeper.errors import ConfigError
    from keeper.executor import boost
    from keeper.executor.abi import selector
    from keeper.model import Call

    router, pool = on.site.chain.uniswap_router, on.site.venues[on.guarded.venue_id].spender
    if router is None:
        raise ConfigError((f"chains.{on.site.chain.name}.uniswap_router: is not set, and none is known",))
    asks = selector("allowance(address,address)")
    owner = bytes.fromhex(on.owner[2:]).rjust(32, b"\0")
    words = await _read(
        on,
        [
            Call(target=h.amount.token.address, data=asks + owner + bytes.fromhex(who[2:]).rjust(32, b"\0"))
            for h, who in ((on.loan.owes, router), (on.loan.buys, pool))
        ],
    )
    return boost.Place(pool=pool, router=router, owner=on.owner, allowed=(words.uint(0), words.uint(1)))


async def _read(on: _Ground, calls: Sequence[Any]) -> Words:
    return await on.site.camera.reader(on.site.block)(calls)


def _listings(on: _Ground) -> Sequence[Any]:
    from keeper.venues.aave_v3 import AaveV3

    venue = on.site.venues[on.guarded.venue_id]
    assert isinstance(venue, AaveV3)  # asked before
    return venue.market.listings


def _named(settings: Settings, labels: Sequence[str]) -> Any:
    """The one position that is meant. ConfigError, exit 2."""
    from keeper.cli.endings import usage
    from keeper.errors import ConfigError

    loans = [p for p in settings.positions if settings.venue(p.venue).kind == KIND]
    mine = [p for p in loans if not labels or p.label in labels]
    if not loans:
        raise ConfigError((f"--prepare: knows {KIND} alone, and no position stands on it",))
    if len(mine) != 1:
        there = ", ".join(p.label for p in loans)
        raise usage("--account", f"--prepare is for one position: name it; there is {there}")
    return mine[0]


KIND = "aave_v3"

"""A loop that guards a loan and its hedge, over doubles: builders for tests of pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keeper.config.pairing import PairSettings
from keeper.daemon.facts import Guarded
from keeper.daemon.loop import ChainLoop
from keeper.daemon.pairs import Link
from keeper.decision.legs import Hedged
from keeper.model import Block, Policy, Position, Unreadable
from keeper.units import wad_from
from tests import build, hedged
from tests.build import USDC, amount, position_id
from tests.hedge_relief import GMX, LENDING, PERP, SHORT, means
from tests.loop_double import Loop, loop

LOAN = position_id()
OWN = build.policy(target="1.35", strategies=("repay",), cooldown_blocks=50)
HELPED = build.policy(target="1.35", strategies=("deleverage", "repay_from_reserve"))
SETTINGS = PairSettings(
    loan="loan",
    short="hedge",
    assets=("WETH",),
    trigger_wad=wad_from("1.15"),
    target_wad=wad_from("1.30"),
    cover_pct=40,
    short_health_wad=wad_from("1.1"),
    take_profit=False,
    patience_s=60,
)
LINK = Link(
    hedged=Hedged(
        loan=LOAN,
        short=SHORT,
        assets=("WETH",),
        trigger_wad=wad_from("1.15"),
        target_wad=wad_from("1.30"),
        cover_least=0.4,
    ),
    settings=SETTINGS,
)
PAYS = replace(
    LINK,
    hedged=replace(LINK.hedged, trigger_wad=HELPED.trigger_wad, target_wad=HELPED.target_wad),
    settings=replace(SETTINGS, take_profit=True),
)


def paired(folder: Path, link: Link = LINK, policy: Policy = OWN) -> Loop:
    made = loop(folder)
    parts = made.running.parts
    guarded = (
        Guarded(label="loan", policy=policy, venue_id=LENDING.id, id=LOAN),
        Guarded(label="hedge", policy=PERP, venue_id=GMX.id, id=SHORT),
    )
    parts = replace(parts, guarded=guarded, pairs=(link,))
    made.loop = ChainLoop(parts, {LENDING.id: LENDING, GMX.id: GMX})
    return made


def shown(
    made: Loop, price: str, hedge: Position | None, *, pays: bool = False, rest: str = "20000"
) -> Block:
    """The next block: the loan at that price, the short (None: it cannot be read), and the means."""
    made.number += 1
    at = replace(build.block(made.number, base_fee_gwei=1), timestamp_s=1_750_000_000 + 12 * made.number)
    have = means() if pays else build.means([amount(USDC, rest)])
    rows = [replace(p, block_number=at.number) for p in (hedged.loan(price), hedge) if p is not None]
    lost = [] if hedge is not None else [Unreadable(id=SHORT, why="reverted", since_block=at.number)]
    prices = {h.feed: h.price_base / 10**p.base_decimals for p in rows for h in (*p.collateral, *p.debt)}
    snapshot = replace(build.snapshot(rows, wallet=have, at=at, unreadable=lost), prices=prices)
    made.facts.next = snapshot
    return at

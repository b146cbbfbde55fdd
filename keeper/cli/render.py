"""Photographs as JSON documents and as table rows; pure, so that each rule is tested on records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from keeper.cli.table import Rows
from keeper.errors import EXIT_FINDINGS, EXIT_OK
from keeper.model import (
    Block,
    Holding,
    Level,
    Outlook,
    Perp,
    PerpOrder,
    Position,
    PositionId,
    Snapshot,
    Unreadable,
)
from keeper.phrases import health_text, usd_text
from keeper.units import UINT256_MAX, decimal_text

IN_DANGER = (Level.ACT, Level.URGENT, Level.UNKNOWN)
PERP_DECIMALS = 30
"""Of a perpetual position's dollars."""
POSITION_HEADERS = ("position", "level", "health", "distance", "collateral", "debt", "liquidation price")


class Photograph(Protocol):
    """One chain as it stands (``keeper.daemon.wiring.View``)."""

    @property
    def snapshot(self) -> Snapshot: ...
    @property
    def outlooks(self) -> tuple[Outlook, ...]: ...
    @property
    def labels(self) -> Mapping[PositionId, str]: ...
    @property
    def old(self) -> str:
        """Why what is seen is long past; empty while it is of now."""
        ...


def positions_document(views: Sequence[Photograph]) -> dict[str, object]:
    """The body of ``keeper positions --json``; amounts are strings, ``block`` is the first chain's."""
    blocks = [_block(v.snapshot.block) for v in views]
    rows = [_position(view, item) for view in views for item in _items(view)]
    old = {str(v.snapshot.block.chain_id): v.old for v in views if v.old}
    return {"block": blocks[0] if blocks else None, "blocks": blocks, "positions": rows, "old": old}


def positions_rows(views: Sequence[Photograph]) -> Rows:
    """One row a position under POSITION_HEADERS."""
    return [_row(view, item) for view in views for item in _items(view)]


def positions_exit(views: Sequence[Photograph]) -> int:
    """1 when any position is in danger or unknown, else 0."""
    levels = [_level(view, item) for view in views for item in _items(view)]
    return EXIT_FINDINGS if any(x in IN_DANGER for x in levels) else EXIT_OK


def _items(view: Photograph) -> Iterator[Position | Unreadable]:
    yield from view.snapshot.positions
    yield from view.snapshot.unreadable


def _outlook(view: Photograph, id: PositionId) -> Outlook | None:
    return next((o for o in view.outlooks if o.id == id), None)


def _level(view: Photograph, item: Position | Unreadable) -> Level:
    """UNKNOWN for what was not read or not judged, or was so long ago: never healthy by omission."""
    outlook = _outlook(view, item.id)
    return Level.UNKNOWN if isinstance(item, Unreadable) or outlook is None or view.old else outlook.level


def _block(block: Block) -> dict[str, object]:
    return {
        "chain_id": block.chain_id,
        "number": block.number,
        "hash": block.hash,
        "timestamp_s": block.timestamp_s,
        "base_fee_wei": str(block.base_fee_wei),
    }


def _position(view: Photograph, item: Position | Unreadable) -> dict[str, object]:
    head = {
        "id": str(item.id),
        "label": view.labels.get(item.id),
        "venue": item.id.venue,
        "account": item.id.account,
    }
    level = _level(view, item).value
    outlook = _outlook(view, item.id)
    if isinstance(item, Unreadable):
        nothing: dict[str, object] = {"health": None, "health_wad": None, "level": level}
        empty: dict[str, object] = {"collateral": [], "debt": [], "margin_usd": None, "leverage": None}
        return {**head, **nothing, **empty, "liquidation_prices": {}, "unreadable": item.why}
    return {
        **head,
        "health": None if item.health_wad == UINT256_MAX or outlook is None else outlook.health,
        "health_wad": None if item.health_wad is None else str(item.health_wad),
        "level": level,
        "collateral": [_holding(h, item.base_decimals) for h in item.collateral],
        "debt": [_holding(h, item.base_decimals) for h in item.debt],
        "margin_usd": None if outlook is None else float_text(outlook.margin_usd),
        "leverage": None if outlook is None else outlook.leverage,
        "liquidation_prices": {} if outlook is None else _liquidation_prices(item, outlook),
        "unreadable": None,
        **({} if item.perp is None else {"perp": _perp(item.perp)}),
    }


def _perp(p: Perp) -> dict[str, object]:
    """A perpetual position in the venue's own numbers; dollars as decimal text."""
    return {
        "side": "long" if p.long else "short",
        "index": p.index.symbol,
        "tokens": str(p.tokens),
        "size_usd": decimal_text(p.size_usd, PERP_DECIMALS),
        "entry_price_usd": decimal_text(_entry(p), PERP_DECIMALS),
        "margin": {"token": p.collateral.symbol, "units": str(p.margin)},
        "pnl_usd": decimal_text(p.pnl_usd, PERP_DECIMALS),
        "remaining_usd": decimal_text(p.remaining_usd, PERP_DECIMALS),
        "leverage": p.leverage,
        "orders": [_order(p, o) for o in p.orders],
    }


def _order(p: Perp, o: PerpOrder) -> dict[str, object]:
    """One that waits on the venue; its trigger in dollars of a whole token of the index."""
    head = {"key": o.key, "resting": o.resting, "frozen": o.frozen, "age_s": o.age_s}
    trigger = decimal_text(o.trigger_price * 10**p.index.decimals, PERP_DECIMALS) if o.trigger_price else None
    return {**head, "trigger_price_usd": trigger, "size_usd": decimal_text(o.size_usd, PERP_DECIMALS)}


def _entry(p: Perp) -> int:
    """Dollars of a whole token of the index at which the position was opened, on average."""
    price: int = p.size_usd * 10**p.index.decimals // max(p.tokens, 1)
    return price


def _holding(h: Holding, base_decimals: int) -> dict[str, object]:
    return {
        "token": h.amount.token.symbol,
        "address": h.amount.token.address,
        "units": str(h.amount.units),
        "value_usd": decimal_text(h.value_base, base_decimals),
    }


def _liquidation_prices(position: Position, outlook: Outlook) -> dict[str, object]:
    names = _feed_names(position)
    return {
        names.get(d.feed, d.feed): {"feed": d.feed, "price_usd": float_text(d.price), "distance": d.distance}
        for d in outlook.distance
    }


def _feed_names(position: Position) -> dict[str, str]:
    """Feed -> symbol of the token it prices; the feed itself where two tokens would share the name."""
    symbols = {h.feed: h.amount.token.symbol for h in (*position.collateral, *position.debt)}
    taken = list(symbols.values())
    return {feed: s if taken.count(s) == 1 else f"{s} ({feed})" for feed, s in symbols.items()}


def float_text(value: float) -> str:
    """A float of the risk core as plain decimal text: shortest digits that give it back, no exponent."""
    return format(Decimal(repr(value)), "f")


def _row(view: Photograph, item: Position | Unreadable) -> tuple[str, ...]:
    side = f" {item.mode}" if isinstance(item, Position) and item.perp is not None else ""
    name = view.labels.get(item.id) or f"{item.id.venue} {short(item.id.account)}{side}"
    level = _level(view, item).value
    if isinstance(item, Unreadable):
        return (name, level, "unknown", "", f"unreadable since block {item.since_block}: {item.why}", "", "")
    outlook = _outlook(view, item.id)
    distances = sorted(outlook.distance, key=lambda d: abs(d.distance)) if outlook else []
    names = _feed_names(item)
    return (
        name,
        level,
        health_text(item.health_wad),
        # one price, the others held: two that fall together get there sooner, so it is said which one
        f"{names.get(distances[0].feed, distances[0].feed)} {distances[0].distance:+.1%}"
        if distances
        else "-",
        *(_held(item) if item.perp is None else _traded(item.perp)),
        "\n".join(f"{names.get(d.feed, d.feed)} {d.price:,.6g}" for d in distances) or "-",
    )


def _held(item: Position) -> tuple[str, str]:
    """What is held and what is owed."""
    given, owed = ("\n".join(_amount(h) for h in side) for side in (item.collateral, item.debt))
    return given or "-", owed or "-"


def _traded(p: Perp) -> tuple[str, str]:
    """Margin, and the position itself with what it has won: dollars of the venue's are no debt to anybody."""
    lever = "no equity left" if p.leverage is None else f"{p.leverage:.1f}x"
    margin = f"{_cut(p.margin, p.collateral.decimals)} {p.collateral.symbol} margin\n{lever}"
    side, entry = "long" if p.long else "short", usd_text(_entry(p) / 10**PERP_DECIMALS)
    size = f"{side} {_cut(p.tokens, p.index.decimals)} {p.index.symbol} from {entry}"
    word = "profit" if p.pnl_usd >= 0 else "loss"
    result = f"{size}\n{word} {usd_text(abs(p.pnl_usd) / 10**PERP_DECIMALS)}"
    if (stop := p.stop) is None:
        return margin, result
    at = usd_text(stop.trigger_price * 10**p.index.decimals / 10**PERP_DECIMALS)
    return margin, f"{result}\nstop at {at}{' (frozen)' if stop.frozen else ''}"


def _amount(h: Holding) -> str:
    """Four decimals, cut: for the eye; the JSON holds every digit."""
    counted = "" if h.threshold_wad else " (not collateral)"
    return f"{_cut(h.amount.units, h.amount.token.decimals)} {h.amount.token.symbol}{counted}"


def _cut(units: int, decimals: int) -> str:
    shown = min(4, decimals)
    return decimal_text(units // 10 ** (decimals - shown), shown)


def short(address: str) -> str:
    """``0xAbCd…1234``."""
    return f"{address[:6]}…{address[-4:]}"

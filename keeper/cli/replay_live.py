"""Whose positions are replayed without a file: the guarded ones of a configuration, as they stand now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keeper.cli import subject
from keeper.replay import fleet, live
from keeper.risk.bookfile import NamedBook


def of_config(config: Path) -> fleet.Fleet:
    """The loans of the configuration's chains, each liquidated for what its own venue says now; a position that could
    not be read is left out and said. ConfigError, or Transient where a chain does not answer."""
    from keeper.cli import kernels
    from keeper.cli.endings import drive
    from keeper.config import load
    from keeper.daemon.touching import symbols_of
    from keeper.daemon.wiring import photograph
    from keeper.risk.rows import conservative

    settings = load(config)
    kernels.prepare()
    views = drive(photograph(settings))
    labels = {id: label for v in views for id, label in v.labels.items()}
    positions = [p for v in views for p in v.snapshot.positions]
    book = NamedBook(
        names=tuple(labels.get(p.id) or str(p.id) for p in positions),
        rows=tuple(conservative(p) for p in positions),
        prices={feed: price for v in views for feed, price in v.snapshot.prices.items()},
        symbols=symbols_of(positions),
        tokens=tuple(subject.collateral_tokens(p) for p in positions),
        places=tuple((p.id.venue, str(p.id.chain_id)) for p in positions),
    )
    found = fleet.of_book(book, str(config), live.terms(positions), f"the reading of {config}")
    lost = ((u.id, u.why) for v in views for u in v.snapshot.unreadable)
    unread = ((labels.get(id) or str(id), f"could not be read: {why}") for id, why in lost)
    return replace(found, left_out=(*found.left_out, *unread))

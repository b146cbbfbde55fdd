"""Whose positions ``keeper replay`` sails: accounts by asset, a book file, or a configuration as it stands."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from keeper.cli import replay_guards, replay_live
from keeper.cli.endings import usage
from keeper.errors import ConfigError
from keeper.replay import fleet, live_perps, perps, terms
from keeper.replay.perps import PerpAccount

if TYPE_CHECKING:
    from keeper.cli.replay import Asked
    from keeper.replay.bars import Bars

Crew = tuple[fleet.Fleet, tuple[PerpAccount, ...]]
"""Loans, and perpetual positions."""


def of(asked: Asked) -> Crew:
    """Whoever was asked for, sampled. ConfigError where nobody is there."""
    if asked.accounts is not None and asked.book is not None:
        raise usage("--accounts", "give either --accounts or --book, not both")
    found, bets = _found(asked)
    sails = {b.name for b in bets}
    found = _some(replace(found, left_out=tuple(x for x in found.left_out if x[0] not in sails)), bets)
    if asked.sample and asked.sample < len(found.accounts):
        picked = random.Random(asked.seed).sample(range(len(found.accounts)), asked.sample)
        return replace(found, accounts=tuple(found.accounts[n] for n in sorted(picked))), bets
    return found, bets


def priced(
    asked: Asked, crew: fleet.Fleet, bets: Sequence[PerpAccount], by: tuple[Bars, Sequence[str]]
) -> Crew:
    """Without the configuration's perpetual positions that the bars have no prices for, which are left out and said;
    ``by``: bars, and assets that are held at their first price. A file's own are refused elsewhere. ConfigError."""
    if asked.book is not None or not bets:
        return crew, tuple(bets)
    found, left = live_perps.priced(bets, *by)
    return _some(replace(crew, left_out=(*crew.left_out, *left)), found), found


def _some(found: fleet.Fleet, bets: Sequence[PerpAccount]) -> fleet.Fleet:
    if found.accounts or bets:
        return found
    why = "; ".join(f"{n}: {w}" for n, w in found.left_out[:3])
    raise ConfigError((f"{found.path}: no position to replay{': ' + why if why else ''}",))


def _found(asked: Asked) -> Crew:
    """A book's by its own terms, or the configuration's as they stand, by what was read of their venues."""
    if asked.accounts is not None:
        return fleet.read(asked.accounts), ()
    # a grid and a chain know loans only
    sails = not (asked.sweep or asked.chain)
    if asked.book is None:
        own = replay_guards.own(asked)
        return replay_live.of_config(asked.config, sails=sails, policy=asked.policy, own=own)
    book = terms.read(asked.book)
    found = fleet.of_book(book, str(asked.book), terms.of_book(asked.book))
    return found, perps.of_book(asked.book, book) if sails else ()

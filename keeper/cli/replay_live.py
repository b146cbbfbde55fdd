"""Whose positions are replayed without a file: the guarded ones of a configuration, as they stand now."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from keeper.cli import subject
from keeper.errors import ConfigError
from keeper.replay import fleet, live, live_perps
from keeper.replay.perps import PerpAccount

FLAT = "not a lending position: a sweep and a chain know loans only"


def of_config(
    config: Path, *, sails: bool, policy: str, own: bool
) -> tuple[fleet.Fleet, tuple[PerpAccount, ...]]:
    """The loans and (where ``sails``) the perpetual positions of the configuration's chains, each liquidated for what
    its own venue says now; what could not be read or is not replayed is left out and said. Levels of a ``policy`` of
    the configuration, and of each position's ``own``, are held to health as its venue tells it. ConfigError, or
    Transient where a chain does not answer."""
    read = subject.guarded(config)
    _once(config, read)
    loans = [p for p in read.positions if not live_perps.is_perp(p)]
    named = [(read.name(p.id), p) for p in read.positions if live_perps.is_perp(p)]
    bets, left = live_perps.accounts(named, by_price=own or bool(policy))
    if not sails:
        bets, left = (), tuple((name, FLAT) for name, _ in named)
    found = fleet.of_book(read.book(loans), str(config), live.terms(loans), f"the reading of {config}")
    policies = {p.label: read.settings.policy(p.policy) for p in read.settings.positions}
    if own:
        bets, gone = live_perps.without_leavers(bets, policies)
        left = (*left, *gone)
        names = [*(a.name for a in found.accounts), *(b.name for b in bets)]
        found = replace(found, policies={name: policies[name] for name in names})
    lost = ((u.id, u.why) for v in read.views for u in v.snapshot.unreadable)
    unread = ((read.name(id), f"could not be read: {why}") for id, why in lost)
    return replace(found, left_out=(*found.left_out, *left, *unread)), tuple(
        _under(b, policies[b.name].name if b.name in policies else policy, policy) for b in bets
    )


def _once(config: Path, read: subject.Guarded) -> None:
    """Refuse one label for two positions: what became of one, and by which policy, would be told of the other."""
    written = Counter(p.label for p in read.settings.positions)
    stand = Counter(read.name(p.id) for p in read.positions)
    wrong = [n for n, count in (written | stand).items() if count > 1]
    if wrong:
        raise ConfigError(
            tuple(f"{config}: positions: label {n!r} names two positions; give each its own" for n in wrong)
        )


def _under(bet: PerpAccount, guards: str, policy: str) -> PerpAccount:
    """Said where it is replayed by another policy than the one that guards it."""
    if not policy or guards == policy:
        return bet
    other = f"the configuration guards it by policy {guards}, and it is replayed by {policy}"
    return replace(bet, note="; ".join(x for x in (bet.note, other) if x))

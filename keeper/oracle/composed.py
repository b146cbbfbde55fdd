"""A Morpho market's oracle looked into: the Chainlink feeds and vaults that it is composed of, and its scale. Pure.

MorphoChainlinkOracleV2 (and ChainlinkOracle before it) names its parts and keeps them for ever: price = scale x base
vault x base feeds / (quote vault x quote feeds), a part at the zero address counting as one. An oracle that does not
name them is said to be not looked at. Source: morpho-blue-oracles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from keeper.model import Call
from keeper.oracle import feeds
from keeper.oracle.faults import Fault
from keeper.oracle.feeds import selector
from keeper.seams import Severity
from keeper.sockets import Named, Pair
from keeper.words import Words

FEEDS = ("BASE_FEED_1", "BASE_FEED_2", "QUOTE_FEED_1", "QUOTE_FEED_2")
VAULTS = ("BASE_VAULT", "QUOTE_VAULT", "VAULT")
NAMES = (*FEEDS, *VAULTS, "SCALE_FACTOR")
PRICE_DIGITS = 36
"""ORACLE_PRICE_SCALE is 10 ** 36."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """What the oracle says of itself."""

    subject: Pair
    named: bool
    """It names its feeds."""
    feeds: tuple[tuple[str, str], ...] = ()
    """(which, address) of those that there are."""
    vaults: tuple[str, ...] = ()
    scale: int | None = None


def probes(subjects: Sequence[Pair]) -> tuple[Call, ...]:
    """What is asked once of each oracle."""
    return tuple(Call(target=s.address, data=selector(f"{name}()")) for s in subjects for name in NAMES)


def parsed(subjects: Sequence[Pair], words: Words) -> tuple[Composed, ...]:
    """Oracles from the answers of ``probes``."""
    return tuple(_one(s, words, i * len(NAMES)) for i, s in enumerate(subjects))


def _one(subject: Pair, words: Words, at: int) -> Composed:
    said = {
        name: words.uint(at + i) for i, name in enumerate(NAMES) if words.ok[at + i] and words.count[at + i]
    }
    if any(name not in said or said[name] >> 160 for name in FEEDS):
        return Composed(subject=subject, named=False)
    return Composed(
        subject=subject,
        named=True,
        feeds=tuple((name, to_checksum_address(said[name].to_bytes(20))) for name in FEEDS if said[name]),
        vaults=tuple(name for name in VAULTS if said.get(name)),
        scale=said.get("SCALE_FACTOR"),
    )


def decimal_probes(composed: Sequence[Composed]) -> tuple[Call, ...]:
    """What is asked once of each feed of each oracle."""
    return tuple(Call(target=address, data=feeds.DECIMALS) for c in composed for _, address in c.feeds)


def looked(composed: Sequence[Composed], words: Words) -> tuple[tuple[Named, ...], tuple[Fault, ...]]:
    """Feeds for the room (by ``decimal_probes``'s answers), and what is wrong or not looked at."""
    named: list[Named] = []
    found: list[Fault] = []
    at = 0
    for c in composed:
        said = [
            words.uint(i) if words.ok[i] and words.count[i] else None for i in range(at, at + len(c.feeds))
        ]
        at += len(c.feeds)
        given, owed = c.subject.symbols
        for (which, address), decimals in zip(c.feeds, said, strict=True):
            symbol = given if which.startswith("BASE") else owed
            id = f"{c.subject.id}:{which}"
            # the oracle's scale was set by what the feed said then; whether it still fits is judged as a whole
            named.append(Named(id=id, symbol=symbol, address=address, expected_decimals=decimals or 0))
        found += _unlooked(c)
        found += _misscaled(c, said)
    return tuple(named), tuple(found)


def _unlooked(c: Composed) -> list[Fault]:
    if c.named and not c.vaults:
        return []
    why = (
        f"the oracle {c.subject.address} names no Chainlink feeds: what is behind its price is not looked at"
    )
    if c.named:
        why = f"{', '.join(c.vaults)} of the oracle {c.subject.address}: the vault's share price is not looked at"
    return [Fault(severity=Severity.INFO, code="feed_unlooked", subject=c.subject.id, why=why)]


def _misscaled(c: Composed, said: Sequence[int | None]) -> list[Fault]:
    """A scale that does not fit tokens and feeds prices the collateral wrong by powers of ten, for ever."""
    if not c.named or c.vaults or c.scale is None or None in said:
        return []
    signs = [-1 if which.startswith("BASE") else 1 for which, _ in c.feeds]
    given, owed = c.subject.decimals
    digits = PRICE_DIGITS + owed - given + sum(s * (d or 0) for s, d in zip(signs, said, strict=True))
    if digits >= 0 and c.scale == 10**digits:
        return []
    why = f"the oracle {c.subject.address} scales by {c.scale}, its tokens and feeds need 10^{digits}"
    return [Fault(severity=Severity.CRITICAL, code="feed_decimals", subject=c.subject.id, why=why)]

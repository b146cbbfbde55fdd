"""What a computed price is made of: the feeds behind an adapter, found once by the names that adapters give them.

A capped ratio, a capped stablecoin, a product of two feeds answer at any time and tell no time of their own; what is
behind them may have been silent for days, or stand at its bound. Sources: Aave's aave-capo and
cl-synchronicity-price-adapter, the price feeds of Compound's comet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from eth_utils.address import to_checksum_address

from keeper.model import Call
from keeper.oracle import feeds
from keeper.oracle.feeds import Feed, selector
from keeper.sockets import Named
from keeper.words import Words

Read = Callable[[Sequence[Call]], Awaitable[Words]]
GETTERS = tuple(
    selector(f"{name}()")
    for name in (
        "ASSET_TO_USD_AGGREGATOR",
        "BASE_TO_USD_AGGREGATOR",
        "PEG_TO_BASE",
        "BASE_TO_PEG",
        "ASSET_TO_PEG",
        "underlyingPriceFeed",
        "BTCToUSDPriceFeed",
        "WBTCToBTCPriceFeed",
        "priceFeedA",
        "priceFeedB",
    )
)
DEPTH = 3
"""Adapters of adapters are followed so far down: a token of a capped token of a feed."""
DECIMALS = 8
"""Of a base that does not say; only what is written of it counts in them."""


async def looked(known: Sequence[Feed], read: Read) -> tuple[Feed, ...]:
    """Feeds with what their aggregators say of themselves: bounds, and whether their updates are sold.

    Raises Transient.
    """
    words, n = await read(feeds.bound_probes(known)), feeds.BOUND_PROBES
    found = []
    for i, feed in enumerate(known):
        low, high = feeds.bounds(feed, words, n * i)
        found.append(replace(feed, low=low, high=high, svr=feed.svr or feeds.dual(words, n * i + 2)))
    return tuple(found)


async def behind(chain_id: int, known: Sequence[Feed], read: Read) -> tuple[Feed, ...]:
    """The feeds with those that they compute their prices from, as far down as these are named. Raises Transient.

    A name that leads to no price (a staked token that tells its own ratio) is none of them.
    """
    tree = await _tree(tuple(f.address for f in known), read)
    leaves = {f.address: _leaves(f.address, tree, DEPTH) for f in known}
    wanted = tuple(dict.fromkeys(a for some in leaves.values() for a in some))
    if not wanted:
        return tuple(known)
    named = [Named(id=a, symbol="", address=a, expected_decimals=DECIMALS) for a in wanted]
    probed = feeds.probed(chain_id, named, await read(feeds.probes(named)))
    said = feeds.answers(probed, await read(feeds.calls(probed)))
    made = await looked([_in_own_units(a.feed) for a in said if not a.why], read)
    at = {b.address: b for b in made}
    return tuple(_with(f, tuple(at[a] for a in leaves[f.address] if a in at)) for f in known)


async def _tree(addresses: Iterable[str], read: Read) -> dict[str, tuple[str, ...]]:
    """Contract -> what it names as its feeds; none for one that names nothing."""
    tree: dict[str, tuple[str, ...]] = {}
    wanted = tuple(dict.fromkeys(addresses))
    for _ in range(DEPTH):
        if not wanted:
            break
        words = await read(tuple(Call(target=a, data=d) for a in wanted for d in GETTERS))
        n = len(GETTERS)
        tree |= {a: _named(words, n * i) for i, a in enumerate(wanted)}
        wanted = tuple(dict.fromkeys(b for a in wanted for b in tree[a] if b not in tree))
    return tree


def _named(words: Words, at: int) -> tuple[str, ...]:
    values = [words.uint(k) for k in range(at, at + len(GETTERS)) if words.ok[k] and words.count[k]]
    return tuple(dict.fromkeys(str(to_checksum_address(v.to_bytes(20))) for v in values if 0 < v < 2**160))


def _leaves(address: str, tree: Mapping[str, tuple[str, ...]], left: int) -> tuple[str, ...]:
    """The ends of its branches, each once; nothing for what names nothing."""
    found: list[str] = []
    for base in tree.get(address, ()):
        found += (_leaves(base, tree, left - 1) if left > 1 else ()) or (base,)
    return tuple(dict.fromkeys(found))


def _in_own_units(base: Feed) -> Feed:
    """Nobody counts in a base's answer but the adapter, which knows its decimals."""
    own = base.decimals if base.decimals is not None and base.decimals <= 36 else DECIMALS
    return replace(base, symbol=base.description or base.address, expected_decimals=own)


def _with(feed: Feed, made_of: tuple[Feed, ...]) -> Feed:
    """An adapter speaks when its base does, and is sold when one of its bases is. Bounds are the bases' own."""
    if not made_of:
        return feed
    lead = next((b for b in made_of if _in_dollars(b)), made_of[0])
    own = feed if not feed.assumed else lead
    return replace(
        feed,
        bases=made_of,
        source=lead.source,
        heartbeat_s=own.heartbeat_s,
        deviation_bps=own.deviation_bps,
        assumed=own.assumed,
        low=None,
        high=None,
        svr=feed.svr or any(b.svr for b in made_of),
    )


def _in_dollars(feed: Feed) -> bool:
    return feed.description.upper().partition("/")[2].split()[:1] == ["USD"]

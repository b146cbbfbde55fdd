"""What the owner of a position signs for its Executor, or against it, with its meaning; nothing is sent from here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.config import ChainSettings, Settings
    from keeper.daemon.facts import Guarded
    from keeper.daemon.wiring import Site
    from keeper.executor.grants import Signing
    from keeper.executor.safe import Safe
    from keeper.model import Token
    from keeper.venues.aave_v3 import AaveV3

HEADERS = ("to", "signs", "meaning", "announce", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The calls of one owner on one chain."""

    chain_id: int
    owner: str
    signings: tuple[Signing, ...]
    safe: Safe | None = None
    """The owner as a Safe, where it was asked about."""
    remains: tuple[str, ...] = ()
    """What is left when all of it is signed."""
    name: str = "keeper: allow sales"


async def wanted(settings: Settings, label: str, amounts: Mapping[str, str], *, safe: bool = False) -> Wanted:
    """What the owner of ``label`` signs. Raises ConfigError (no such position, token or executor; with ``safe``, an
    owner that is no Safe), Transient.
    """
    from keeper.executor.grants import Wish, signings

    async with placed(settings, label) as at:
        position = (await at.site.view()).snapshot.position(at.guarded.id)
        collateral = _collateral(at.venue, amounts)
        return Wanted(
            chain_id=at.site.chain.chain_id,
            owner=at.owner,
            safe=await safe_of(at.site, at.owner) if safe else None,
            signings=signings(
                Wish(
                    executor=at.executor,
                    key=at.key,
                    bot=at.bot,
                    policy=at.guarded.policy,
                    now_s=at.site.block.timestamp_s,
                    collateral=collateral,
                    receipts={x.token: x.a_token for x in at.venue.market.listings},
                    debt=tuple(h.amount.token for h in position.debt) if position is not None else (),
                    routers=await _routers(at) if collateral or at.sells else {},
                )
            ),
        )


async def revoked(settings: Settings, label: str, *, safe: bool = False) -> Wanted:
    """What the owner of ``label`` signs to take everything back. Raises as ``wanted``."""
    from keeper.executor.revoking import Place, calls, remains, signings, standing

    async with placed(settings, label) as at:
        chain = at.site.chain
        place = Place(
            executor=at.executor,
            owner=at.owner,
            key=at.key,
            bot=at.bot,
            tokens=tuple((x.token, x.a_token) for x in at.venue.market.listings),
            routers=tuple(named_routers(chain)),
        )
        read = at.site.camera.reader(at.site.block)
        found = standing(place, await read(calls(place)))
        return Wanted(
            chain_id=chain.chain_id,
            owner=at.owner,
            safe=await safe_of(at.site, at.owner) if safe else None,
            signings=signings(found),
            remains=remains(found),
            name="keeper: take everything back",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One position with an Executor, its chain opened."""

    site: Site
    guarded: Guarded
    venue: AaveV3
    executor: str
    owner: str
    key: str
    bot: str

    @property
    def sells(self) -> bool:
        """Whether the policy would sell at all; who only pays in needs no router."""
        from keeper.daemon.executors import SELLS

        return not SELLS.isdisjoint(self.guarded.policy.strategies)


def named_routers(chain: ChainSettings) -> dict[str, str]:
    """Every router that the configuration uses on that chain -> what it is for."""
    offers = chain.aggregator
    uses = {
        chain.uniswap_router: "the router of Uniswap v3 (two pools in a row, a sale split over pools)",
        offers.router if offers else None: f"the aggregator {offers.name}" if offers else "",
    }
    return {router: use for router, use in uses.items() if router}


async def _routers(at: Placed) -> dict[str, str]:
    """Those of them that the owner has not allowed yet. Raises Transient."""
    from keeper.executor.read import ROUTER_ALLOWED
    from keeper.model import Call

    named = named_routers(at.site.chain)
    asked = [
        Call(target=at.executor, data=ROUTER_ALLOWED + bytes.fromhex(router[2:]).rjust(32, b"\0"))
        for router in named
    ]
    if not asked:
        return {}
    words = await at.site.camera.reader(at.site.block)(tuple(asked))
    return {router: use for i, (router, use) in enumerate(named.items()) if not words.uint(i)}


@asynccontextmanager
async def placed(settings: Settings, label: str) -> AsyncIterator[Placed]:
    """Where the position of that label stands. Raises ConfigError, Transient."""
    from keeper.daemon.wiring import opened
    from keeper.errors import ConfigError
    from keeper.executor.load import Wanted as Post
    from keeper.venues.aave_v3 import AaveV3

    named = next((p for p in settings.positions if p.label == label), None)
    if named is None or named.executor is None:
        known = ", ".join(p.label for p in settings.positions if p.executor) or "none"
        raise ConfigError(
            (f"--executor {label}: no position of that label names an executor; those that do: {known}",)
        )
    if settings.wallet.address is None:
        raise ConfigError(("wallet.address: is not set; the owner allows it to act",))
    chain = settings.chain(settings.venue(named.venue).chain)
    async with opened(settings, chain) as site:
        guarded = next(g for g in site.guarded if g.label == label)
        venue = site.venues[guarded.venue_id]
        assert isinstance(venue, AaveV3)  # the only kind whose Executor ships
        post = Post(
            label=label, id=guarded.id, executor=named.executor, market=venue.spender, tokens=venue.tokens
        )
        yield Placed(
            site=site,
            guarded=guarded,
            venue=venue,
            executor=named.executor,
            owner=named.account,
            key=post.key,
            bot=settings.wallet.address,
        )


async def safe_of(site: Site, owner: str) -> Safe:
    """The owner as a Safe at the site's block. Raises ConfigError when it is none, or of a version not known."""
    from keeper.errors import ConfigError, Transient
    from keeper.executor.safe import MULTI_SEND_CALL_ONLY, NONCE, VERSION, Safe
    from keeper.model import Call

    words = await site.camera.reader(site.block)(
        (Call(target=owner, data=VERSION), Call(target=owner, data=NONCE))
    )
    try:
        length, nonce = words.uint(0, 1), words.uint(1)
        version = words.uint(0, 2).to_bytes(32)[:length].decode()
    except (Transient, UnicodeDecodeError) as e:
        raise ConfigError((f"--safe: {owner} does not answer VERSION() and nonce(): it is no Safe",)) from e
    plain = version.partition("+")[0]  # a layer 2 variant says 1.4.1+L2
    if plain not in MULTI_SEND_CALL_ONLY:
        known = ", ".join(MULTI_SEND_CALL_ONLY)
        raise ConfigError((f"--safe: {owner} is of version {version}; its hashes are known for {known}",))
    return Safe(
        chain_id=site.chain.chain_id,
        address=owner,
        version=version,
        nonce=nonce,
        multi_send=MULTI_SEND_CALL_ONLY[plain],
    )


def show(found: Wanted, *, json: bool) -> None:
    """Print the calls, as a table or as JSON, or the file that a Safe's owners import."""
    import json as text

    from keeper.cli import table

    if found.safe is not None:
        print(text.dumps(safe_file(found), indent=2))
        return
    rows = [
        (s.call.target, s.signs, s.meaning, s.announcement, "0x" + s.call.data.hex()) for s in found.signings
    ]
    if json:
        signs = [dict(zip(HEADERS, row, strict=True)) for row in rows]
        left = {"remains": list(found.remains)} if found.remains else {}
        print(table.document({"owner": found.owner, "signs": signs, **left}))
        return
    if not rows:
        print(f"{found.owner} has nothing to sign: nothing is allowed any more")
    else:
        print(f"{found.owner} signs, in this order (nothing is sent from here):")
        table.show(HEADERS[:3], [row[:3] for row in rows])
    if found.remains:
        print("\n".join(["what remains:", *(f"- {line}" for line in found.remains)]))
    elif rows:
        print(
            "More than an hour after the Executor was deployed, what loosens it is announced a day before: "
            "announce(hash) with the hash that --json shows."
        )


def safe_file(found: Wanted) -> dict[str, object]:
    """The file for Transaction Builder: decoded text, and the hashes that the signers' wallets will show."""
    from keeper.executor.grants import transaction_builder
    from keeper.executor.safe import document, seen

    assert found.safe is not None  # asked before
    body = transaction_builder(found.chain_id, found.owner, found.signings, found.name)
    hashes = document(seen(found.safe, [s.call for s in found.signings])) if found.signings else None
    left = {"remains": list(found.remains)} if found.remains else {}
    return {**body, "signersSee": hashes, **left}


def _collateral(venue: AaveV3, amounts: Mapping[str, str]) -> dict[Token, int]:
    from keeper.errors import ConfigError

    by_symbol = {t.symbol: t for t in venue.tokens}
    unknown = tuple(
        f"--amount {s}: the venue lists no token of this symbol" for s in amounts if s not in by_symbol
    )
    if unknown:
        raise ConfigError(unknown)
    found = {}
    for symbol, number in amounts.items():
        token = by_symbol[symbol]
        units = Decimal(number) * 10**token.decimals
        if units != units.to_integral_value():
            raise ConfigError((f"--amount {symbol}={number}: {symbol} has {token.decimals} decimals",))
        found[token] = int(units)
    return found

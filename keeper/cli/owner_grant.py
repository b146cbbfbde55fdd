"""What the owner of a position signs for its Executor, or against it, with its meaning; nothing is sent from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from keeper.cli.owner_place import (
    Placed,
    code_at,
    line,
    named_routers,
    owed,
    placed,
    receipts,
    safe_of,
    typed,
    unlisted_routers,
)

if TYPE_CHECKING:
    from keeper.config import Settings
    from keeper.executor.grants import Signing, Stands
    from keeper.executor.revoking import Standing
    from keeper.executor.safe import Safe
    from keeper.model import Token
    from keeper.seams import Venue

HEADERS = ("to", "signs", "meaning", "announce", "data")
BOTS_MAX = 3
"""Of one Executor (Settings.BOTS_MAX)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user wants to be allowed for one position."""

    label: str
    amounts: Mapping[str, str] = field(default_factory=dict)
    """Symbol -> whole tokens that may be sold."""
    reserve: Mapping[str, str] = field(default_factory=dict)
    """Symbol -> whole tokens that may be paid in."""
    share_bps: int = 10_000
    """Of every cap, for the keeper's wallet."""
    others: Mapping[str, int] = field(default_factory=dict)
    """Further bots -> their share of every cap, bps."""
    guardian: str = ""
    until_s: int | None = None
    slippage_bps: int = 100
    deploy: bool = False
    announce: bool = False
    """Only what is announced a day before the rest."""
    safe: bool = False


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
    ready: Mapping[str, int] = field(default_factory=dict)
    """Announcement of what loosens -> Unix seconds from which its call is taken; 0: not announced."""
    now_s: int = 0
    typed: Mapping[str, object] | None = None
    """A whole grant as a message, which an owner with a key may sign instead of sending it."""
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[Signing, ...]:
        """Those that the Executor would refuse now, for want of an announcement that is a day old."""
        return tuple(
            s for s in self.signings if s.loosens and not 0 < self.ready.get(s.announcement, 0) <= self.now_s
        )


async def wanted(settings: Settings, asked: Asked) -> Wanted:
    """What the owner of ``asked.label`` signs. Raises ConfigError (no such position, token or executor;
    with ``safe``, an owner that is no Safe), Transient.
    """
    from keeper.cli import owner_cushion, owner_module
    from keeper.executor import granted
    from keeper.executor.grants import Wish, announcements, signings, until

    _check_bots(settings, asked)
    async with placed(settings, asked.label, deploy=asked.deploy) as at:
        now_s = at.site.block.timestamp_s
        wish = Wish(
            executor=at.executor,
            key=at.seat.key,
            bots={at.bot: asked.share_bps, **asked.others},
            policy=at.guarded.policy,
            until_s=_until(asked, now_s, until(now_s)),
            collateral=units(at.venue, asked.amounts, "--amount"),
            reserve=units(at.venue, asked.reserve, "--reserve"),
            receipts=receipts(at.venue, at.seat),
            permit=at.seat.permit,
            debt=await owed(at),
            guardian=asked.guardian,
            line=await line(at),
            lag=at.seat.lag,
            slippage_bps=asked.slippage_bps,
        )
        if at.deployed:
            wish = replace(wish, stands=await _stands(at, wish))
        wish = replace(wish, routers=await unlisted_routers(at) if wish.collateral or at.sells else {})
        signs, renewed = await owner_module.marked(at, asked.label, signings(wish))
        read = at.site.camera.reader(at.site.block)
        late = granted.ready_calls(signs)
        sold = [token for token, units in wish.collateral.items() if units]
        kept, later = await owner_cushion.signings(at.venue, at.owner, at.executor, sold, read)
        found = Wanted(
            chain_id=at.site.chain.chain_id,
            owner=at.owner,
            safe=await safe_of(at.site, at.owner) if asked.safe else None,
            signings=(*await _deployment(at, asked), *signs, *kept),
            ready=granted.ready(signs, await read(late)) if late else {},
            now_s=now_s,
            typed=await typed(at) if wish.collateral and not asked.safe else None,
        )
        notes = (*_notes(found, asked, wish.until_s), *([later] if later else []), *renewed)
        found = replace(found, notes=notes)
        if asked.announce:
            return replace(found, signings=announcements(found.refused), name="keeper: announce", notes=())
        return found


def _notes(found: Wanted, asked: Asked, until_s: int) -> tuple[str, ...]:
    """What the signer must know of times, and of what does not lie there yet."""
    from keeper.executor.grants import day

    notes = list[str]()
    if asked.deploy:
        notes.append(
            "all of it may be signed as one batch, or at the latest within an hour after the deployment"
        )
    waits = [found.ready.get(s.announcement, 0) for s in found.refused]
    if 0 in waits:
        notes.append(
            f"{len(found.refused)} of these are refused (NotAnnounced) until a day after they were announced: sign "
            f"what the same command prints with --announce --until {until_s}, and a day later this with --until "
            f"{until_s}"
        )
    elif waits:
        notes.append(f"announced; taken from {day(max(waits))} on")
    return tuple(notes)


async def revoked(settings: Settings, label: str, *, safe: bool = False) -> Wanted:
    """What the owner of ``label`` signs to take everything back: a module first, which could undo the rest.

    Raises as ``wanted``.
    """
    from keeper.cli import owner_module
    from keeper.executor.revoking import remains, signings

    async with placed(settings, label) as at:
        found, unsearched = await _standing(at)
        ended, left = await owner_module.ending(at, frozenset(of for _, of, _ in found.allowed))
        return Wanted(
            chain_id=at.site.chain.chain_id,
            owner=at.owner,
            safe=await safe_of(at.site, at.owner) if safe else None,
            signings=(*ended, *signings(found)),
            remains=(*unsearched, *left, *remains(found)),
            name="keeper: take everything back",
            notes=(owner_module.AGAIN,) if ended else (),
        )


async def _standing(at: Placed) -> tuple[Standing, tuple[str, ...]]:
    """(everything that the Executor allows anybody, what could not be searched for). Raises Transient."""
    from keeper.daemon.known import search
    from keeper.errors import Transient
    from keeper.executor import revoking
    from keeper.model import Token
    from keeper.seams import LogFilter

    own = receipts(at.venue, at.seat)
    place = revoking.Place(
        executor=at.executor,
        owner=at.owner,
        keys=(at.seat.key,),
        bots=(at.bot,),
        tokens=tuple((t, own.get(t, t.address)) for t in at.venue.tokens),
        routers=tuple(named_routers(at.site.chain)),
        permit=at.seat.permit,
    )
    read, unsearched = at.site.camera.reader(at.site.block), list[str]()
    try:
        logs = await search(at.site.endpoints, LogFilter(target=at.executor, topics=()), at.site.block.number)
    except Transient as e:
        logs = []
        why = "the endpoint does not search the Executor's events, so other bots, routers and positions of it are not"
        unsearched.append(f"{why} named here ({e}); `pause`, which you can sign, stops every one of them")
    others = revoking.listed(place, logs)
    if others:
        words = await read(tuple(revoking.listing(place, row) for row in others))
        known = {t.address for t in at.venue.tokens}
        more = [
            (
                Token(chain_id=at.site.chain.chain_id, address=token, symbol=token, decimals=0),
                # where the grant is whole, what is listed may be no token at all
                words.uint(i) if at.seat.permit is None else 0,
            )
            for i, (_, token, _) in enumerate(others)
            if token not in known
        ]
        place = replace(place, tokens=(*place.tokens, *revoking.receipts(more)))
    place = revoking.named(place, logs)
    return revoking.standing(place, await read(revoking.calls(place))), tuple(unsearched)


async def _stands(at: Placed, wish: object) -> Stands:
    """What the Executor says of it already. Raises Transient."""
    from keeper.executor import granted
    from keeper.executor.grants import Wish, sides

    assert isinstance(wish, Wish)
    asked = granted.Asked(
        executor=at.executor, key=at.seat.key, bots=tuple(wish.bots), assets=tuple(sides(wish))
    )
    words = await at.site.camera.reader(at.site.block)(granted.calls(asked))
    return granted.stands(asked, words, at.site.block.timestamp_s)


async def _deployment(at: Placed, asked: Asked) -> tuple[Signing, ...]:
    """What puts the Executor there first, where that is asked for and it is not there. Raises Transient."""
    from keeper.executor import deploying, verify
    from keeper.executor.abi import ZERO, selector
    from keeper.model import Call
    from keeper.venues import registry

    if not asked.deploy or at.deployed:
        return ()
    chain = at.site.chain
    known = {v.kind: v.provider for v in registry.known(chain.chain_id)}
    venues = {v.kind: v.spender for v in at.site.venues.values()}
    factory, asks = ZERO, chain.uniswap_quoter or chain.uniswap_router
    if asks is not None:
        words = await at.site.camera.reader(at.site.block)((Call(target=asks, data=selector("factory()")),))
        factory = _address(words.uint(0))
    made = deploying.Made(
        aave_v3=venues.get("aave_v3", ZERO),
        morpho_blue=venues.get("morpho_blue") or known.get("morpho_blue", ZERO),
        uniswap_factory=factory,
        maker=tuple(at.seat.names.values()),
    )
    there = await code_at(at.site, verify.factory_address(at.kind))
    return deploying.signings(at.kind, at.owner, made, factory_there=there)


def _address(value: int) -> str:
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address((value & (2**160 - 1)).to_bytes(20)))


def show(found: Wanted, *, json: bool) -> None:
    """Print the calls, as a table or as JSON, or the file that a Safe's owners import."""
    import json as text
    import sys

    from keeper.cli import table

    if found.safe is not None:
        print(text.dumps(safe_file(found), indent=2))
        print("\n".join(found.notes), file=sys.stderr, end="\n" if found.notes else "")
        return
    rows = [
        (s.call.target, s.signs, s.meaning, s.announcement, "0x" + s.call.data.hex()) for s in found.signings
    ]
    if json:
        signs = [
            {**dict(zip(HEADERS, row, strict=True)), "taken": taken(found, s)}
            for row, s in zip(rows, found.signings, strict=True)
        ]
        left = {"remains": list(found.remains)} if found.remains else {}
        instead = {"or_typed_data": found.typed} if found.typed is not None else {}
        body = {"owner": found.owner, "signs": signs, **instead, **left, "notes": list(found.notes)}
        print(table.document(body))
        return
    if not rows:
        print(f"{found.owner} has nothing to sign")
    else:
        print(f"{found.owner} signs, in this order (nothing is sent from here):")
        shown = [(*row[:3], taken(found, s)) for row, s in zip(rows, found.signings, strict=True)]
        table.show((*HEADERS[:3], "taken"), shown)
    if found.remains:
        print("\n".join(["what remains:", *(f"- {line}" for line in found.remains)]))
    print("\n".join(found.notes), end="\n" if found.notes else "")


def taken(found: Wanted, signing: Signing) -> str:
    """From when the Executor takes it: ``now``, ``announce first``, or a time."""
    from keeper.executor.grants import day

    if signing not in found.refused:
        return "now"
    at_s = found.ready.get(signing.announcement, 0)
    return f"from {day(at_s)}" if at_s else "announce first"


def safe_file(found: Wanted) -> dict[str, object]:
    """The file for Transaction Builder: decoded text, and the hashes that the signers' wallets will show."""
    from keeper.executor.grants import transaction_builder
    from keeper.executor.safe import document, seen

    assert found.safe is not None  # asked before
    body = transaction_builder(found.chain_id, found.owner, found.signings, found.name)
    hashes = document(seen(found.safe, [s.call for s in found.signings])) if found.signings else None
    left = {"remains": list(found.remains)} if found.remains else {}
    return {**body, "signersSee": hashes, **left}


def units(venue: Venue, amounts: Mapping[str, str], option: str) -> dict[Token, int]:
    """Whole tokens by symbol as units, exactly. Raises ConfigError naming ``option``."""
    from keeper.errors import ConfigError

    by_symbol = {t.symbol: t for t in venue.tokens}
    unknown = tuple(
        f"{option} {s}: the venue lists no token of this symbol" for s in amounts if s not in by_symbol
    )
    if unknown:
        raise ConfigError(unknown)
    found = {}
    for symbol, number in amounts.items():
        token = by_symbol[symbol]
        exact = Decimal(number) * 10**token.decimals
        if exact != exact.to_integral_value():
            raise ConfigError((f"{option} {symbol}={number}: {symbol} has {token.decimals} decimals",))
        found[token] = int(exact)
    return found


def _check_bots(settings: Settings, asked: Asked) -> None:
    """What the Executor would refuse of roles. Raises ConfigError."""
    from keeper.errors import ConfigError

    own = next((p.account for p in settings.positions if p.label == asked.label), "").lower()
    bots = [settings.wallet.address or "", *asked.others]
    problems = []
    if len(bots) > BOTS_MAX:
        problems.append(
            f"--bot: {len(bots)} bots with the keeper's wallet; an Executor has at most {BOTS_MAX}"
        )
    if len({b.lower() for b in bots}) < len(bots):
        problems.append(
            "--bot: names the keeper's own wallet, or an address twice; --share is for the wallet"
        )
    problems += [f"--bot {b}: is the owner" for b in bots if b.lower() == own]
    if asked.guardian.lower() in {b.lower() for b in bots}:
        problems.append(f"--guardian {asked.guardian}: is a bot; who acts must not be who pauses")
    if problems:
        raise ConfigError(tuple(problems))


def _until(asked: Asked, now_s: int, usual_s: int) -> int:
    """When the grant ends. Raises ConfigError for a time that the Executor would refuse."""
    from keeper.errors import ConfigError
    from keeper.executor.grants import DAY_S, TERM_S_MAX, day

    at_s = usual_s if asked.until_s is None else asked.until_s
    if not now_s + DAY_S < at_s <= now_s + TERM_S_MAX:
        raise ConfigError((f"--until {day(at_s)}: must lie between a day and 400 days from now",))
    return at_s

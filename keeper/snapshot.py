"""One chain at one block hash: every guarded position, and all that planning needs and may not fetch.

Everything of a tick is one batch. A venue that fails takes only its own positions with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt
from eth_utils.crypto import keccak

from keeper.errors import KeeperError, Transient, Unread
from keeper.model import (
    Allowance,
    Amount,
    Block,
    Call,
    Means,
    Position,
    PositionId,
    Snapshot,
    Token,
    Unreadable,
)
from keeper.seams import Reading, Screens, Seen, Shadow, Supplement, Venue, WalletFacts
from keeper.words import Words

BALANCE_OF = keccak(text="balanceOf(address)")[:4]
ALLOWANCE = keccak(text="allowance(address,address)")[:4]
ETH_BALANCE = keccak(text="getEthBalance(address)")[:4]
"""Multicall3's own view of a native balance, so that it is of the same block as the rest."""


NO_MEANS = Means(
    wallet="",
    native_wei=0,
    nonce=0,
    balances=(),
    allowances=(),
    reserves=(),
    tip_wei=0,
    native_price_base=None,
)
"""Of a block of which nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherRequest:
    """What to photograph, and what the last photograph taught."""

    chain_id: int
    block: Block
    venues: tuple[tuple[Venue, tuple[str, ...]], ...]
    """Each venue with its guarded accounts."""
    multicall: str
    read: Callable[[Sequence[Call]], Awaitable[Words]]
    """One multicall, already pinned to ``block.hash``. Raises Transient."""
    wallet: str | None = None
    """The keeper's wallet; None where there is none (a scan): its means are then all 0."""
    nonce: int = 0
    tip_wei: int = 0
    native_token: str | None = None
    """Wrapped native token: its feed on one of the venues prices gas."""
    seen: Mapping[str, Seen] = field(default_factory=dict)
    """By venue id, as the last ``gather`` returned it."""
    shadows: Mapping[PositionId, Shadow] = field(default_factory=dict)
    wallet_deltas: Mapping[str, int] = field(default_factory=dict)
    """What dry fills took from the wallet: token address -> units, negative when spent."""
    allowance_deltas: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """The same of allowances: (token address, spender) -> units."""
    since: Mapping[PositionId, int] = field(default_factory=dict)
    """Since which block each position has been unreadable, from the last snapshot."""
    supplement: Supplement | None = None
    """What else planning needs; asked in the same batch, and once more where a position is in need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """A token's balance, or its allowance to a spender."""

    token: Token
    spender: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What one batch answered, not developed yet; a venue that could not say what to ask has a text as its part."""

    request: GatherRequest
    parts: tuple[tuple[Call, ...] | str, ...]
    words: tuple[Words, ...]
    """Of each venue, none of one that asked nothing; then of the wallet, and of the supplement."""
    asks: tuple[_Ask, ...]

    def low(self, lines_wad: Mapping[str, npt.NDArray[np.uint64]]) -> Mapping[str, tuple[int, ...]] | None:
        """By venue id the accounts below their line (in the venue's order) or unread; a line that an owner's
        Executor sells below counts too. None where a venue cannot tell, or shadows stand for positions.
        """
        request, found = self.request, dict[str, tuple[int, ...]]()
        if request.shadows:
            return None
        sold = {} if request.supplement is None else self._sold_below(request.supplement)
        for (venue, accounts), part, words in zip(request.venues, self.parts, self.words, strict=False):
            lines = lines_wad[venue.id]
            if isinstance(part, str) or not isinstance(venue, Screens):
                return None
            if sold:
                higher = [min(sold.get(venue.position_id(a), 0), 2**64 - 1) for a in accounts]
                lines = np.maximum(lines, np.array(higher, np.uint64))
            found[venue.id] = venue.below(accounts, words, _seen(request, venue), lines)
        return found

    async def few(self, chosen: Mapping[str, Sequence[int]]) -> Snapshot | None:
        """The snapshot of those accounts alone, as the whole one shows them, without a digest; None where a venue
        must be asked again or loaded anew, which the whole one is for. Raises Transient.
        """
        request, readings = self.request, list[Reading]()
        for (venue, accounts), words in zip(request.venues, self.words, strict=False):
            assert isinstance(venue, Screens)  # ``low`` told
            seen, at = _seen(request, venue), chosen.get(venue.id, ())
            reading = venue.decode(
                request.block,
                tuple([accounts[k] for k in at]),
                venue.words_of(accounts, words, seen, at),
                seen,
                {},
            )
            if reading.again or reading.seen.stale:
                return None
            readings.append(reading)
        snapshot = _snapshot(request, readings, _wallet(request, self.asks, self.words[-2]), whole=False)
        if request.supplement is not None:
            snapshot = await _supplemented(request, request.supplement, snapshot, self.words[-1])
        return replace(snapshot, digest="")

    def grain(self, chosen: Mapping[str, Sequence[int]]) -> tuple[object, ...]:
        """Everything that ``few`` of those accounts is made of, to the byte: two films of which this is equal show
        the same snapshot, however many others are on them.
        """
        request, parts = self.request, list[object]()
        for (venue, accounts), words in zip(request.venues, self.words, strict=False):
            assert isinstance(venue, Screens)  # ``low`` told
            seen, at = _seen(request, venue), chosen.get(venue.id, ())
            told = venue.words_of(accounts, words, seen, at).answers()
            parts.append((venue, tuple([accounts[k] for k in at]), seen, told))
        beside = replace(request, venues=(), read=_unread)
        return beside, self.asks, tuple(parts), self.words[-2].answers(), self.words[-1].answers()

    def _sold_below(self, supplement: Supplement) -> Mapping[PositionId, int]:
        means = supplement.decode(self.request.block, self.words[-1], NO_MEANS)
        return {m.id: m.terms.trigger_wad for m in means.mandates}


async def _unread(calls: Sequence[Call]) -> Words:
    """Stands where a reader was, for which nothing can be read."""
    raise Unread(f"{len(calls)} calls with nobody to read them")


def without_reader(film: Film) -> Film:
    """A film of which nothing more can be read: what would take a second look raises Unread."""
    return replace(film, request=replace(film.request, read=_unread))


async def expose(request: GatherRequest) -> Film:
    """The one batch of a photograph. Raises Transient when it could not be read."""
    parts = tuple(_calls(request, venue, accounts) for venue, accounts in request.venues)
    asks = _asks(request)
    wallet = _wallet_calls(request, asks)
    beside = request.supplement.calls() if request.supplement is not None else ()
    # five thousand calls a block: joined without a step of Python for each
    asked = tuple(chain.from_iterable(part for part in parts if isinstance(part, tuple)))
    words = await request.read(asked + wallet + beside)
    sizes = [len(part) if isinstance(part, tuple) else 0 for part in parts] + [len(wallet), len(beside)]
    ends = list(accumulate(sizes))
    cut = tuple(words.part(end - size, end) for size, end in zip(sizes, ends, strict=True))
    return Film(request=request, parts=parts, words=cut, asks=asks)


async def gather(request: GatherRequest) -> tuple[Snapshot, Mapping[str, Seen]]:
    """The snapshot, and what each venue wants remembered (a ``Seen.stale`` there asks for a reload).

    Raises Transient only when the batch itself could not be read.
    """
    film = await expose(request)
    readings: list[Reading] = []
    for (venue, accounts), part, words in zip(request.venues, film.parts, film.words, strict=False):
        if isinstance(part, str):
            readings.append(_lost(request, venue, accounts, part))
            continue
        reading = _decode(request, venue, accounts, words, _seen(request, venue))
        readings.append(await _again(request, venue, accounts, reading) if reading.again else reading)
    facts = _wallet(request, film.asks, film.words[-2])
    seen = {venue.id: r.seen for (venue, _), r in zip(request.venues, readings, strict=True)}
    snapshot = _snapshot(request, readings, facts)
    if request.supplement is not None:
        snapshot = await _supplemented(request, request.supplement, snapshot, film.words[-1])
    return snapshot, seen


async def _supplemented(
    request: GatherRequest, supplement: Supplement, snapshot: Snapshot, words: Words
) -> Snapshot:
    """The snapshot with the supplement's facts; what could not be asked a second time stays away."""
    means = supplement.decode(request.block, words, snapshot.means)
    snapshot = replace(snapshot, means=means)
    if calls := supplement.wants(snapshot):
        try:
            means = supplement.answered(snapshot, await request.read(calls))
        except Transient:
            # no price, no sale: whoever would have sold says so by name
            means = snapshot.means
    facts = f"{snapshot.digest}\n{means.mandates!r}\n{means.lenders!r}\n{means.routes!r}"
    return replace(snapshot, means=means, digest=hashlib.sha256(facts.encode()).hexdigest())


def _seen(request: GatherRequest, venue: Venue) -> Seen:
    return request.seen.get(venue.id, Seen())


def _calls(request: GatherRequest, venue: Venue, accounts: tuple[str, ...]) -> tuple[Call, ...] | str:
    """A venue's part of the batch, or why it has none."""
    try:
        return venue.calls(accounts, _seen(request, venue))
    except KeeperError as error:
        return str(error)


def _decode(
    request: GatherRequest, venue: Venue, accounts: tuple[str, ...], words: Words, seen: Seen
) -> Reading:
    """A venue's reading; one that fails as a whole leaves its accounts Unreadable."""
    try:
        return venue.decode(request.block, accounts, words, seen, request.shadows)
    except KeeperError as error:
        return _lost(request, venue, accounts, str(error))


async def _again(request: GatherRequest, venue: Venue, accounts: tuple[str, ...], first: Reading) -> Reading:
    """One more round for this venue alone: some account holds what the first round did not ask for."""
    try:
        words = await request.read(venue.calls(accounts, first.seen))
    except Transient:
        # what the first round could read stays; the others are UNKNOWN until the next tick asks them at once
        return first
    except KeeperError as error:
        return _lost(request, venue, accounts, str(error))
    return _decode(request, venue, accounts, words, first.seen)


def _lost(request: GatherRequest, venue: Venue, accounts: Iterable[str], why: str) -> Reading:
    """Nothing of this venue could be read."""
    number = request.block.number
    return Reading(
        positions=(),
        unreadable=tuple(
            Unreadable(id=venue.position_id(a), why=f"venue {venue.id}: {why}", since_block=number)
            for a in accounts
        ),
        reserves=(),
        prices={},
        seen=_seen(request, venue),
        again=False,
    )


def _asks(request: GatherRequest) -> tuple[_Ask, ...]:
    """Balances of every listed token once, then its allowance to each venue that lists it."""
    if request.wallet is None:
        return ()
    tokens = {t.address: t for venue, _ in request.venues for t in venue.tokens}
    spent = {(t.address, venue.spender): t for venue, _ in request.venues for t in venue.tokens}
    return (
        *(_Ask(token=t, spender=None) for t in tokens.values()),
        *(_Ask(token=t, spender=spender) for (_, spender), t in spent.items()),
    )


def _wallet_calls(request: GatherRequest, asks: Sequence[_Ask]) -> tuple[Call, ...]:
    if request.wallet is None:
        return ()
    owner = _word(request.wallet)
    return (
        *(
            Call(
                target=a.token.address,
                data=BALANCE_OF + owner if a.spender is None else ALLOWANCE + owner + _word(a.spender),
            )
            for a in asks
        ),
        Call(target=request.multicall, data=ETH_BALANCE + owner),
    )


def _wallet(request: GatherRequest, asks: Sequence[_Ask], words: Words) -> WalletFacts:
    """The keeper's wallet at the block; a token that does not answer counts as none (it cannot be spent)."""
    if request.wallet is None:
        return WalletFacts(native_wei=0, nonce=request.nonce, balances=(), allowances=())
    balances: list[Amount] = []
    allowances: list[Allowance] = []
    for i, ask in enumerate(asks):
        units = words.uint(i) if words.ok[i] and words.count[i] else 0
        address = ask.token.address
        if ask.spender is None:
            units = max(0, units + request.wallet_deltas.get(address, 0))
            balances.append(Amount(token=ask.token, units=units))
        else:
            units = max(0, units + request.allowance_deltas.get((address, ask.spender), 0))
            allowances.append(Allowance(token=ask.token, spender=ask.spender, units=units))
    return WalletFacts(
        native_wei=words.uint(len(asks)),
        nonce=request.nonce,
        balances=tuple(balances),
        allowances=tuple(allowances),
    )


def _snapshot(
    request: GatherRequest, readings: Sequence[Reading], facts: WalletFacts, *, whole: bool = True
) -> Snapshot:
    """Every reading and the wallet as one record; only a whole one has a digest."""
    reserves = tuple(r for reading in readings for r in reading.reserves)
    native = next((r for r in reserves if r.token.address == request.native_token), None)
    means = Means(
        wallet=request.wallet or "",
        native_wei=facts.native_wei,
        nonce=facts.nonce,
        balances=facts.balances,
        allowances=facts.allowances,
        reserves=reserves,
        tip_wei=request.tip_wei,
        native_price_base=native.price_base if native else None,
        native_price_decimals=native.base_decimals if native else 8,
    )
    positions = tuple(p for reading in readings for p in reading.positions)
    unreadable = tuple(
        replace(u, since_block=min(u.since_block, request.since.get(u.id, u.since_block)))
        for reading in readings
        for u in reading.unreadable
    )
    prices = {feed: price for reading in readings for feed, price in reading.prices.items()}
    return Snapshot(
        block=request.block,
        positions=positions,
        unreadable=unreadable,
        means=means,
        prices=prices,
        digest=_digest(request.block, positions, unreadable, means, prices) if whole else "",
    )


def _digest(
    block: Block,
    positions: Iterable[Position],
    unreadable: Iterable[Unreadable],
    means: Means,
    prices: Mapping[str, float],
) -> str:
    """SHA-256 over everything a decision may depend on, one line a fact."""
    lines = [f"{block.chain_id} {block.number} {block.hash} {block.timestamp_s} {block.base_fee_wei}"]
    for p in positions:
        held = [
            (h.amount.token.address, h.amount.units, h.stored, h.price_base, h.value_base, h.threshold_wad)
            for side in (p.collateral, p.debt)
            for h in side
        ]
        lines.append(f"{p.id} {p.health_wad} {p.mode} {len(p.collateral)} {held}")
    lines += [f"{u.id} {u.why} {u.since_block}" for u in unreadable]
    lines.append(f"{means.wallet} {means.native_wei} {means.nonce} {means.tip_wei} {means.native_price_base}")
    lines += [f"{a.token.address} {a.units}" for a in means.balances]
    lines += [f"{a.token.address} {a.spender} {a.units}" for a in means.allowances]
    lines += [
        f"{r.venue} {r.token.address} {r.price_base} {r.active} {r.frozen} {r.paused} {r.supply_room_units} "
        f"{r.cash_units} {r.supply_index_ray} {r.supply_rate_ray} {r.borrow_index_ray} {r.borrow_rate_ray} "
        f"{r.updated_s}"
        for r in means.reserves
    ]
    lines += [f"{feed} {price!r}" for feed, price in sorted(prices.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")

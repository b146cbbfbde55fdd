"""What a venue itself says of an account, asked past our reader and its arithmetic, beside what the reader says.

Each view is its own ``eth_call`` pinned to one block's hash; where a contract leaves interest out of its view, its
own accrual runs first, in the same call. Nothing is ever sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from keeper.cli import perp_views
from keeper.errors import Rejected, Unread
from keeper.model import Block, Call, Holding, Position
from keeper.seams import Priority, Transport, Venue
from keeper.units import BPS, RAY, UINT256_MAX, WAD
from keeper.venues.aave_v3 import AaveV3
from keeper.venues.aave_v3 import book as aave
from keeper.venues.aave_v3.book import selector, word
from keeper.venues.compound_v3 import CompoundV3
from keeper.venues.compound_v3 import book as comet
from keeper.venues.gmx_v2 import GmxV2
from keeper.venues.maker import Maker
from keeper.venues.maker import book as maker
from keeper.venues.morpho_blue import MorphoBlue
from keeper.venues.morpho_blue import book as morpho

TIMEOUT_S = 10.0
AGGREGATE = keccak(text="aggregate3((address,bool,bytes)[])")[:4]
LIQUIDATE = selector(f"liquidate({morpho.PARAMS},address,uint256,uint256,bytes)")
PRE_LIQUIDATE = selector("preLiquidate(address,uint256,uint256,bytes)")
ACCRUE_ACCOUNT = selector("accrueAccount(address)")
COLLATERALIZED = selector("isBorrowCollateralized(address)")
DRIP = selector("drip(bytes32)")
BARK = selector("bark(bytes32,address,address)")
PANIC = keccak(text="Panic(uint256)")[:4].hex()
NOT_PRE_LIQUIDATABLE = keccak(text="NotPreLiquidatablePosition()")[:4].hex()
HEALTHY, TAKEN, NOT_UNSAFE = "position is healthy", "transfer", "Dog/not-unsafe"
"""Reasons of Morpho's liquidate (ErrorsLib) and of Maker's Dog.bark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that both sides say: an integer, or a verdict."""

    what: str
    ours: int | bool
    venue: int | bool

    @property
    def equal(self) -> bool:
        """To the last unit."""
        return self.ours == self.venue


class Asking:
    """Questions to one chain, all at the same block."""

    def __init__(self, transport: Transport, multicall: str, block: Block) -> None:
        self._transport = transport
        self._multicall = multicall
        self.block = block

    async def view(self, name: str, call: Call, words: int) -> tuple[int, ...]:
        """The first ``words`` words of one view's answer. Raises Unread, Transient."""
        ok, answer = await self.attempt(call)
        if not ok:
            raise Unread(f"the venue's {name} failed: {_reason(answer)}")
        return _words(name, answer, words)

    async def attempt(self, call: Call) -> tuple[bool, bytes]:
        """Whether the call would succeed, and its answer or why not. Raises Transient."""
        try:
            told = await self._call(call.target, call.data)
        except Rejected as error:
            data = bytes.fromhex((error.data or "0x")[2:])
            return False, data or error.message.encode()
        return True, told

    async def together(self, calls: Sequence[Call]) -> list[tuple[bool, bytes]]:
        """Calls one after another in one ``eth_call``: each sees what those before it did. Raises Transient."""
        rows = [(c.target, True, c.data) for c in calls]
        told = await self._call(self._multicall, AGGREGATE + encode(["(address,bool,bytes)[]"], [rows]))
        try:
            (answers,) = decode(["(bool,bytes)[]"], told)
        except DecodingError as error:
            raise Unread(f"the multicall's answer cannot be read: {error}") from error
        if len(answers) != len(calls):
            raise Unread(f"the multicall answered {len(answers)} of {len(calls)} calls")
        return [(bool(ok), bytes(data)) for ok, data in answers]

    async def _call(self, to: str, data: bytes) -> bytes:
        at = {"blockHash": self.block.hash, "requireCanonical": True}
        asked = {"to": to, "data": f"0x{data.hex()}"}
        told = await self._transport.request(
            "eth_call", [asked, at], priority=Priority.PAGE, timeout_s=TIMEOUT_S
        )
        if not isinstance(told, str) or not told.startswith("0x"):
            raise Unread("eth_call answered something that is not hex")
        return bytes.fromhex(told[2:])


async def facts(venue: Venue, account: str, found: Position | None, asking: Asking) -> tuple[Fact, ...]:
    """Both sides, fact by fact; without a position of ours its numbers are nothing. Raises Unread, Transient."""
    given = found.collateral if found is not None else ()
    owed = found.debt if found is not None else ()
    health_wad = found.health_wad if found is not None else UINT256_MAX
    ours = _Ours(given=given, owed=owed, health_wad=health_wad if health_wad is not None else -1)
    if isinstance(venue, AaveV3):
        return await _aave(venue, account, ours, asking)
    if isinstance(venue, MorphoBlue):
        return await _morpho(venue, account, ours, asking)
    if isinstance(venue, CompoundV3):
        return await _comet(venue, account, ours, asking)
    if isinstance(venue, Maker):
        return await _maker(venue, account, ours, asking)
    if isinstance(venue, GmxV2):
        return await _gmx(venue, account, found, asking)
    raise Unread(f"nothing is known of what {venue.kind} says of itself")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ours:
    """What the reader found."""

    given: tuple[Holding, ...]
    owed: tuple[Holding, ...]
    health_wad: int

    @property
    def debt_units(self) -> int:
        return sum(h.amount.units for h in self.owed)

    @property
    def low(self) -> bool:
        """Liquidatable, as health says."""
        return bool(self.owed) and self.health_wad < WAD

    def units(self, token: str) -> int:
        """Collateral of one token that is not lent."""
        return sum(h.amount.units for h in self.given if h.amount.token.address == token)


async def _aave(venue: AaveV3, account: str, ours: _Ours, asking: Asking) -> tuple[Fact, ...]:
    """``getUserAccountData``, in the market's base units."""
    call = Call(target=venue.market.pool, data=aave.GET_USER_ACCOUNT_DATA + word(account))
    told = await asking.view("getUserAccountData", call, 6)
    counted = [h for h in ours.given if h.threshold_wad]
    collateral = sum(h.value_base for h in counted)
    weighted = sum(h.value_base * (h.threshold_wad * BPS // WAD) for h in counted)
    return (
        Fact(what="collateral, base", ours=collateral, venue=told[0]),
        Fact(what="debt, base", ours=sum(h.value_base for h in ours.owed), venue=told[1]),
        Fact(what="threshold, bps", ours=weighted // collateral if collateral else 0, venue=told[3]),
        Fact(what="health, wad", ours=ours.health_wad, venue=told[5]),
    )


async def _morpho(venue: MorphoBlue, account: str, ours: _Ours, asking: Asking) -> tuple[Fact, ...]:
    """Shares and totals after the contract's own accrual; whether ``liquidate`` takes the position."""
    m = venue.market
    key = bytes.fromhex(m.key[2:])
    answers = await asking.together(
        [
            Call(target=m.morpho, data=morpho.ACCRUE + m.params),
            Call(target=m.morpho, data=morpho.MARKET + key),
            Call(target=m.morpho, data=morpho.POSITION + key + word(account)),
        ]
    )
    _need("accrueInterest", answers[0])
    _, _, assets, total, _, _ = _words("market", _need("market", answers[1]), 6)
    _, shares, pledged = _words("position", _need("position", answers[2]), 3)
    # SharesMathLib.toAssetsUp: a virtual asset, a million virtual shares
    debt = -(-shares * (assets + 1) // (total + 10**6))
    takes = await _liquidates(venue, account, asking)
    for pre in m.pre:
        takes = takes or await _pre_liquidates(pre.address, venue, account, asking)
    return (
        Fact(what=f"collateral, {m.collateral.symbol}", ours=ours.units(m.collateral.address), venue=pledged),
        Fact(what=f"debt, {m.loan.symbol}", ours=ours.debt_units, venue=debt),
        Fact(what="liquidatable", ours=ours.low, venue=takes),
    )


async def _liquidates(venue: MorphoBlue, account: str, asking: Asking) -> bool:
    """Whether the contract would let one share of the debt be repaid by a liquidator."""
    m = venue.market
    tail = b"".join(word(n) for n in (account, 0, 1, 9 * 32, 0))
    ok, answer = await asking.attempt(Call(target=m.morpho, data=LIQUIDATE + m.params + tail))
    why = _reason(answer)
    if not ok and HEALTHY in why:
        return False
    # past its verdict it wants a token that nobody pays here, or seizes more than is there
    if ok or TAKEN in why or answer.hex().startswith(PANIC):
        return True
    raise Unread(f"the venue's liquidate gave no verdict: {why}")


async def _pre_liquidates(pre: str, venue: MorphoBlue, account: str, asking: Asking) -> bool:
    """Whether a PreLiquidation that the owner authorised would take a share now."""
    who = Call(target=venue.market.morpho, data=morpho.IS_AUTHORIZED + word(account) + word(pre))
    (allowed,) = await asking.view("isAuthorized", who, 1)
    if not allowed:
        return False
    tail = b"".join(word(n) for n in (account, 0, 1, 4 * 32, 0))
    ok, answer = await asking.attempt(Call(target=pre, data=PRE_LIQUIDATE + tail))
    return ok or not answer.hex().startswith(NOT_PRE_LIQUIDATABLE)


async def _comet(venue: CompoundV3, account: str, ours: _Ours, asking: Asking) -> tuple[Fact, ...]:
    """Debt, verdicts and balances after the market's own accrual, as ``absorb`` would find them."""
    m, who = venue.market, word(account)
    n = len(m.assets)
    answers = await asking.together(
        [
            Call(target=m.comet, data=ACCRUE_ACCOUNT + who),
            Call(target=m.comet, data=comet.BORROW_BALANCE_OF + who),
            Call(target=m.comet, data=comet.IS_LIQUIDATABLE + who),
            Call(target=m.comet, data=COLLATERALIZED + who),
            Call(target=m.comet, data=comet.BALANCE_OF + who),
            *(
                Call(target=m.comet, data=comet.USER_COLLATERAL + who + word(a.token.address))
                for a in m.assets
            ),
            *(Call(target=m.comet, data=comet.ASSET_INFO + word(i)) for i in range(n)),
        ]
    )
    names = ("accrueAccount", "borrowBalanceOf", "isLiquidatable", "isBorrowCollateralized", "balanceOf")
    said = [_need(name, answer) for name, answer in zip(names, answers, strict=False)]
    owed, absorbable, collateralized, lent = (
        _words(n, a, 1)[0] for n, a in zip(names[1:], said[1:], strict=True)
    )
    held = [_words("userCollateral", _need("userCollateral", a), 1)[0] for a in answers[5 : 5 + n]]
    infos = [_words("getAssetInfo", _need("getAssetInfo", a), 8) for a in answers[5 + n :]]
    borrow_factor = {a.token.address: info[4] for a, info in zip(m.assets, infos, strict=True)}
    pledged = [h for h in ours.given if h.threshold_wad]
    carried = sum(h.value_base * borrow_factor[h.amount.token.address] // WAD for h in pledged)
    enough = carried >= sum(h.value_base for h in ours.owed)
    return (
        Fact(what=f"debt, {m.base.token.symbol}", ours=ours.debt_units, venue=owed),
        *(
            Fact(what=f"collateral, {a.token.symbol}", ours=mine, venue=units)
            for a, units in zip(m.assets, held, strict=True)
            if (mine := ours.units(a.token.address)) or units
        ),
        Fact(what=f"lent, {m.base.token.symbol}", ours=ours.units(m.base.token.address), venue=lent),
        Fact(what="liquidatable", ours=ours.low, venue=bool(absorbable)),
        Fact(what="collateralized", ours=enough, venue=bool(collateralized)),
    )


async def _gmx(venue: GmxV2, account: str, found: Position | None, asking: Asking) -> tuple[Fact, ...]:
    """The Reader's own accruals and profit at the feeds' prices; how impact counts it does not say."""
    fed = await asking.together(perp_views.questions(venue))
    said = await asking.together([perp_views.opinion(venue.slot, account, fed)])
    rows = perp_views.compared(found.perp if found is not None else None, said[0])
    return tuple(Fact(what=what, ours=ours, venue=theirs) for what, ours, theirs in rows)


async def _maker(venue: Maker, account: str, ours: _Ours, asking: Asking) -> tuple[Fact, ...]:
    """The Vat's integers with the fees that ``Jug.drip`` adds; whether ``Dog.bark`` takes the vault then, or after a
    poke besides.
    """
    m = venue.market
    key = bytes.fromhex(m.ilk[2:])
    jug, dog = m.jug, m.dog
    answers = await asking.together(
        [
            maker.ask(jug, DRIP, key),
            maker.ask(m.vat, maker.ILKS, key),
            maker.ask(m.vat, maker.URNS, key, word(account)),
            maker.ask(dog, BARK, key, word(account), word(account)),
            maker.ask(m.spotter, maker.POKE, key),
            maker.ask(m.vat, maker.ILKS, key),
            maker.ask(dog, BARK, key, word(account), word(account)),
        ]
    )
    _need("Jug.drip", answers[0])
    _, rate, spot = _words("Vat.ilks", _need("Vat.ilks", answers[1]), 3)
    ink, art = _words("Vat.urns", _need("Vat.urns", answers[2]), 2)
    # nobody is liquidated by a void price
    spot = min(spot, _words("Vat.ilks", _need("Vat.ilks", answers[5]), 3)[2] or spot)
    verdicts = answers[3], answers[6]
    unsafe = spot > 0 and ink * spot < art * rate
    if any(barks for barks, _ in verdicts) or all(NOT_UNSAFE in _reason(why) for _, why in verdicts):
        unsafe = any(barks for barks, _ in verdicts)
    return (
        Fact(what="ink", ours=sum(h.stored for h in ours.given), venue=ink),
        Fact(what="art", ours=sum(h.stored for h in ours.owed), venue=art),
        Fact(what=f"debt, {m.dai.symbol}", ours=ours.debt_units, venue=-(-art * rate // RAY)),
        Fact(
            what="health, wad",
            ours=ours.health_wad,
            venue=ink * spot * WAD // (art * rate) if art else UINT256_MAX,
        ),
        Fact(what="liquidatable", ours=ours.low, venue=unsafe),
    )


def _need(name: str, answer: tuple[bool, bytes]) -> bytes:
    ok, data = answer
    if not ok:
        raise Unread(f"the venue's {name} failed: {_reason(data)}")
    return data


def _words(name: str, answer: bytes, n: int) -> tuple[int, ...]:
    """The first ``n`` words; decoded here by itself, because our own decoding is what is on trial."""
    if len(answer) < 32 * n:
        raise Unread(f"the venue's {name} answered {len(answer)} bytes, {32 * n} are needed")
    return tuple(int.from_bytes(answer[32 * i : 32 * i + 32]) for i in range(n))


def _reason(answer: bytes) -> str:
    """A revert's reason as a person reads it."""
    text = "".join(chr(b) if 32 <= b < 127 else " " for b in answer)
    return " ".join(text.split()) or "no reason given"

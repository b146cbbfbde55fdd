"""The market's oracle in our hands: our own feeds at the addresses that it asks, beginning with what they answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from anvil.abi import encode_call
from anvil.client import Chain, Reverted
from anvil.compile import own_artifact
from anvil.drill.course import Update
from keeper.errors import ConfigError
from keeper.model import Position, Token
from keeper.oracle import osm
from keeper.seams import Venue
from keeper.venues.aave_v3 import AaveV3
from keeper.venues.compound_v3 import CompoundV3
from keeper.venues.maker import Maker
from keeper.venues.morpho_blue import MorphoBlue

ZERO = "0x" + "00" * 20
PRICE_CODE = "0x60003560e01c63a035b1fe14601357600080fd5b60005460005260206000f3"
"""``price()`` answers storage slot 0, anything else reverts. By hand, because it is nothing but this:
PUSH1 0 CALLDATALOAD PUSH1 e0 SHR PUSH4 price() EQ PUSH1 13 JUMPI PUSH1 0 DUP1 REVERT JUMPDEST PUSH1 0 SLOAD PUSH1 0
MSTORE PUSH1 20 PUSH1 0 RETURN."""
_DESCRIPTION, _STATE = 0, 1
"""Storage of contracts/mocks/PriceFeed.sol: its description, then ``broken`` and the round's number."""
_TEXT = b"programmed by a drill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One price source: its answer at the start, in its own scale, and whose prices it tells."""

    address: str
    answer: int
    symbols: tuple[str, ...]
    over: str = ""
    """The symbol in which it prices, where that moves as well (Morpho: collateral in loan tokens)."""
    decimals: int = 8
    word: bool = False
    """Morpho's ``price()`` instead of Chainlink's rounds."""
    poked: tuple[str, str] | None = None
    """Maker: Spotter and collateral type. The address is a delayed feed: what it is told counts one update later,
    when the Spotter is poked."""

    def at(self, update: Update) -> int:
        """Its answer after ``update``, at least 1."""
        factor = update.multiple(self.symbols[0]) / (update.multiple(self.over) if self.over else 1.0)
        return max(1, int(self.answer * int(factor * 10**15) // 10**15))


def found(chain: Chain, venue: Venue, position: Position, beside: Iterable[Token]) -> tuple[Feed, ...]:
    """The sources of what the position holds and owes, and of ``beside``. Raises ConfigError for other venues."""
    held = {h.amount.token for h in (*position.collateral, *position.debt)}
    if isinstance(venue, AaveV3):
        listed = {x.token for x in venue.market.listings}
        return _merged(_aave(chain, venue.market.oracle, held | (set(beside) & listed)))
    if isinstance(venue, CompoundV3):
        listings = (venue.market.base, *venue.market.assets)
        return _merged(_chainlink(chain, x.oracle, x.token.symbol) for x in listings if x.token in held)
    if isinstance(venue, MorphoBlue):
        market = venue.market
        answer = int(chain.call(market.oracle, "price()(uint256)"))
        pair = market.collateral.symbol, market.loan.symbol
        return (Feed(address=market.oracle, answer=answer, symbols=pair[:1], over=pair[1], word=True),)
    if isinstance(venue, Maker):
        return (_delayed(chain, venue, position),)
    raise ConfigError(
        (f"a drill cannot hold the oracle of a {venue.kind} market: its prices move by other ways",)
    )


def program(chain: Chain, feeds: Iterable[Feed]) -> None:
    """Put our code where the feeds are, answering what they answered. The node must mine by itself."""
    artifact = own_artifact("PriceFeed")
    codes: dict[int, str] = {}
    for feed in feeds:
        if feed.word:
            chain.rpc("anvil_setCode", feed.address, PRICE_CODE)
            _store(chain, feed.address, 0, feed.answer)
            continue
        if feed.poked is not None:
            continue  # its own code stays: it is told by storage, as its source would tell it
        if feed.decimals not in codes:
            model = chain.deploy(artifact, feed.decimals, feed.answer, "")
            codes[feed.decimals] = chain.rpc("eth_getCode", model, "latest")
        chain.rpc("anvil_setCode", feed.address, codes[feed.decimals])
        # what the replaced contract kept there would be read as our own state
        text = _TEXT.ljust(31, b"\0") + bytes([2 * len(_TEXT)])
        _store(chain, feed.address, _DESCRIPTION, int.from_bytes(text))
        _store(chain, feed.address, _STATE, 0)
        chain.send(chain.accounts[0], feed.address, "set(int256)", feed.answer)


def submit(chain: Chain, feeds: Iterable[Feed], update: Update) -> None:
    """Hand in the answers of ``update``, for the next block."""
    for feed in feeds:
        if feed.word:
            _store(chain, feed.address, 0, feed.at(update))
        elif feed.poked is not None:
            _told(chain, feed.address, feed.at(update))
            spotter, ilk = feed.poked
            chain.submit(chain.accounts[0], spotter, encode_call("poke(bytes32)", bytes.fromhex(ilk[2:])))
        else:
            chain.submit(chain.accounts[0], feed.address, encode_call("set(int256)", feed.at(update)))


def _aave(chain: Chain, oracle: str, tokens: Iterable[Token]) -> Iterable[Feed]:
    for token in sorted(tokens, key=lambda t: t.address):
        source = str(chain.call(oracle, "getSourceOfAsset(address)(address)", token.address))
        if source == ZERO:
            continue  # the base currency itself, or a fallback: it has no feed that could move
        price = int(chain.call(oracle, "getAssetPrice(address)(uint256)", token.address))
        yield Feed(address=source, answer=price, symbols=(token.symbol,))


def _delayed(chain: Chain, venue: Maker, position: Position) -> Feed:
    """Maker's delayed feed. Raises ConfigError where it is none, or the vault's number is not known."""
    market = venue.market
    if not any(v.urn == position.id.account for v in market.vaults):
        why = "its number is not known: name it in venues.NAME.vaults, and drill with --config"
        raise ConfigError((f"vault {position.id.account}: {why}",))
    slots = (osm.STOPPED, osm.TIMES, osm.CURRENT, osm.NEXT)
    state = osm.delayed(*(_word(chain, market.pip, slot) for slot in slots))
    if not state.hop_s or state.current is None or state.next is None or state.stopped:
        why = "is no delayed feed that goes on: its price moves by other ways"
        raise ConfigError((f"the price of {market.ilk_name} at {market.pip} {why}",))
    return Feed(
        address=market.pip,
        answer=state.current,
        symbols=(market.gem.symbol,),
        decimals=18,
        poked=(market.spotter, market.ilk),
    )


def _told(chain: Chain, address: str, price: int) -> None:
    """What was next counts from now on, and ``price`` is next."""
    _store(chain, address, osm.CURRENT, _word(chain, address, osm.NEXT))
    _store(chain, address, osm.NEXT, 1 << 128 | price)


def _chainlink(chain: Chain, address: str, symbol: str) -> Feed:
    try:
        answer = int(chain.call(address, "latestRoundData()(uint80,int256,uint256,uint256,uint80)")[1])
        decimals = int(chain.call(address, "decimals()(uint8)"))
    except Reverted as error:
        raise ConfigError((f"the feed of {symbol} at {address} does not answer: {error}",)) from error
    return Feed(address=address, answer=answer, symbols=(symbol,), decimals=decimals)


def _merged(feeds: Iterable[Feed]) -> tuple[Feed, ...]:
    """One feed an address; tokens that share a source move together, by the first one's name."""

    def add(by_address: dict[str, Feed], feed: Feed) -> dict[str, Feed]:
        there = by_address.get(feed.address)
        symbols = (*there.symbols, *feed.symbols) if there else feed.symbols
        made = Feed(address=feed.address, answer=feed.answer, symbols=symbols, decimals=feed.decimals)
        return {**by_address, feed.address: made}

    return tuple(reduce(add, feeds, dict[str, Feed]()).values())


def _word(chain: Chain, address: str, slot: int) -> int:
    return int(chain.rpc("eth_getStorageAt", address, hex(slot), "latest"), 16)


def _store(chain: Chain, address: str, slot: int, value: int) -> None:
    chain.rpc("anvil_setStorageAt", address, f"0x{slot:064x}", f"0x{value:064x}")

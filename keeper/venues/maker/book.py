"""Addresses and signatures: one collateral type's contracts, found from the chainlog by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from eth_utils.address import to_checksum_address

from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.model import Call, Token
from keeper.units import RAY
from keeper.venues.aave_v3.book import checksum, selector, text, word
from keeper.words import Words

KIND = "maker"
ZERO = "0x" + "0" * 40
Read = Callable[[Sequence[Call]], Awaitable[Words]]
"""One multicall at one block: words in call order. Raises Transient."""

GET_ADDRESS = selector("getAddress(bytes32)")
ILKS = selector("ilks(bytes32)")
"""Vat: Art, rate, spot, line, dust. Jug: duty, rho. Spotter: pip, mat. Dog: clip, chop, hole, dirt."""
VAULT_ILK = selector("ilks(uint256)")
URNS = selector("urns(bytes32,address)")
VAULT_URN = selector("urns(uint256)")
OWNS = selector("owns(uint256)")
BASE = selector("base()")
PAR = selector("par()")
LIVE = selector("live()")
POKE = selector("poke(bytes32)")
"""Of the Spotter: asked inside a batch it changes nothing but what the rest of the batch reads."""
JOIN = selector("join(bytes32)")
GEM = selector("gem(bytes32)")
OWNER = selector("owner()")
DECIMALS = selector("decimals()")
BALANCE_OF = selector("balanceOf(address)")
SYMBOL = selector("symbol()")

NAMES = (
    "MCD_VAT",
    "MCD_JUG",
    "MCD_SPOT",
    "MCD_DOG",
    "CDP_MANAGER",
    "ILK_REGISTRY",
    "MCD_JOIN_DAI",
    "MCD_DAI",
    "PROXY_ACTIONS",
)
"""Keys of the chainlog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """A vault by its number."""

    number: int
    urn: str
    """Its address in the Vat: the account of its position."""
    holder: str = ZERO
    """To whom the manager said that it belongs when it was loaded: part of the position's id in an Executor."""
    owner: str = ZERO
    """The holder, or whom it obeys where it is a proxy: whose Executor may act on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One collateral type; what governance may change is held against every batch."""

    name: str
    chain_id: int
    chainlog: str
    ilk: str
    """0x-hex of 32 bytes."""
    vat: str
    jug: str
    spotter: str
    dog: str
    manager: str
    dai_join: str
    registry: str
    actions: str
    gem_join: str
    pip: str
    mat: int
    """Collateral over debt that must hold, ray."""
    dust: int
    """The least debt that may be left, rad."""
    chop: int
    """The penalty's factor, wad (1.13e18)."""
    gem: Token
    dai: Token
    vaults: tuple[Vault, ...]
    proxy: str
    """The keeper's own proxy; the zero address where none is configured."""
    proxy_owner: str

    @property
    def id(self) -> str:
        """``maker:{chain}:{name of the collateral type}``."""
        return f"{KIND}:{self.chain_id}:{self.ilk_name}"

    @property
    def ilk_name(self) -> str:
        """E.g. ``ETH-A``."""
        return bytes.fromhex(self.ilk[2:]).rstrip(b"\0").decode("ascii", "replace")

    @property
    def feed(self) -> str:
        """Identity of the collateral's price: ``maker:{chain}:{pip}:{token}``."""
        return f"{KIND}:{self.chain_id}:{self.pip}:{self.gem.address}"

    @property
    def dai_feed(self) -> str:
        """Identity of Dai's price, which is par by rule."""
        return f"{KIND}:{self.chain_id}:par:{self.dai.address}"

    @property
    def gem_scale(self) -> int:
        """Wads of ink in one unit of the token."""
        return int(10 ** (18 - self.gem.decimals))


def ask(target: str, function: bytes, *words: bytes) -> Call:
    """A view with whole-word arguments."""
    return Call(target=target, data=function + b"".join(words))


async def market(settings: VenueSettings, chain_id: int, read: Read) -> Market:
    """Ask the chain for everything static about a collateral type.

    Raises ConfigError naming what is not what it should be, and Transient when nobody answered.
    """
    field, ilk = f"venues.{settings.name}", settings.market
    if ilk is None:
        raise ConfigError((f"{field}.market: is required: the collateral type as 32 bytes in hex",))
    log, key = settings.provider, bytes.fromhex(ilk[2:])
    words = await read([ask(log, GET_ADDRESS, name.encode().ljust(32, b"\0")) for name in NAMES])
    if words.ok[0] and not words.count[0]:
        raise ConfigError((f"{field}.provider {log}: no contract at {log} on chain {chain_id}",))
    missing = [n for i, n in enumerate(NAMES) if not words.ok[i] or not words.count[i] or not words.uint(i)]
    if missing:
        raise ConfigError((f"{field}.provider {log}: no chainlog, or one without {', '.join(missing)}",))
    at = {name: checksum(words.uint(i)) for i, name in enumerate(NAMES)}
    words = await read(
        (
            ask(at["MCD_VAT"], ILKS, key),
            ask(at["MCD_SPOT"], ILKS, key),
            ask(at["MCD_DOG"], ILKS, key),
            ask(at["ILK_REGISTRY"], JOIN, key),
            ask(at["ILK_REGISTRY"], GEM, key),
            ask(settings.proxy or ZERO, OWNER),
        )
    )
    enough = all(words.ok[i] and words.count[i] >= least for i, least in enumerate((5, 2, 2, 1, 1)))
    if not enough or not words.uint(0, 1) or not words.uint(3) or not words.uint(4):
        raise ConfigError((f"{field}.market {ilk}: the vault system knows no such collateral type",))
    if not words.uint(1, 0):
        raise ConfigError((f"{field}.market {ilk}: its price feed is the zero address",))
    if not words.uint(1, 1) >= RAY:
        raise ConfigError((f"{field}.market {ilk}: its liquidation ratio {words.uint(1, 1)} is below 1",))
    gem, dai = await _tokens(field, chain_id, (checksum(words.uint(4)), at["MCD_DAI"]), read)
    return Market(
        name=settings.name,
        chain_id=chain_id,
        chainlog=to_checksum_address(log),
        ilk=ilk,
        vat=at["MCD_VAT"],
        jug=at["MCD_JUG"],
        spotter=at["MCD_SPOT"],
        dog=at["MCD_DOG"],
        manager=at["CDP_MANAGER"],
        dai_join=at["MCD_JOIN_DAI"],
        registry=at["ILK_REGISTRY"],
        actions=at["PROXY_ACTIONS"],
        gem_join=checksum(words.uint(3)),
        pip=checksum(words.uint(1, 0)),
        mat=words.uint(1, 1),
        dust=words.uint(0, 4),
        chop=words.uint(2, 1),
        gem=gem,
        dai=dai,
        vaults=await _vaults(field, settings, at["CDP_MANAGER"], read),
        proxy=settings.proxy or ZERO,
        proxy_owner=_owner(settings, words, 5),
    )


def _owner(settings: VenueSettings, words: Words, i: int) -> str:
    """Whom the proxy obeys. Raises ConfigError when a configured one is none."""
    if settings.proxy is None:
        return ZERO
    if not words.ok[i] or not words.count[i]:
        raise ConfigError(
            (f"venues.{settings.name}.proxy {settings.proxy}: no proxy with an owner is there",)
        )
    return checksum(words.uint(i))


async def _tokens(field: str, chain_id: int, addresses: tuple[str, str], read: Read) -> tuple[Token, Token]:
    words = await read([ask(a, f) for a in addresses for f in (SYMBOL, DECIMALS)])
    found = []
    for i, address in enumerate(addresses):
        if not words.ok[2 * i + 1] or not words.count[2 * i + 1] or words.uint(2 * i + 1) > 18:
            raise ConfigError((f"{field}: {address} does not say its decimals, or more than 18",))
        symbol = (text(words.raw(2 * i)) if words.ok[2 * i] else "") or address[:10]
        found.append(Token(chain_id=chain_id, address=address, symbol=symbol, decimals=words.uint(2 * i + 1)))
    return found[0], found[1]


async def _vaults(field: str, settings: VenueSettings, manager: str, read: Read) -> tuple[Vault, ...]:
    """Every configured vault by its number. Raises ConfigError with every one that is none of this type."""
    words = await read(
        [ask(manager, f, word(number)) for number in settings.vaults for f in (VAULT_URN, VAULT_ILK, OWNS)]
    )
    found, problems = list[Vault](), []
    for i, number in enumerate(settings.vaults):
        urn, ilk, owns = (3 * i + k for k in range(3))
        if not words.ok[urn] or not words.count[urn] or not words.uint(urn):
            problems.append(f"{field}.vaults: the manager knows no vault {number}")
        elif not words.ok[ilk] or words.raw(ilk).hex() != (settings.market or "")[2:]:
            problems.append(f"{field}.vaults: vault {number} is of another collateral type")
        else:
            holder = checksum(words.uint(owns)) if words.ok[owns] and words.count[owns] else ZERO
            found.append(Vault(number=number, urn=checksum(words.uint(urn)), holder=holder))
    if problems:
        raise ConfigError(tuple(problems))
    # a proxy says whom it obeys; an owner without code, or a Safe, says nothing of the kind
    obeys = await read([ask(v.holder, OWNER) for v in found])
    told = [obeyed(obeys, i) for i in range(len(found))]
    return tuple(replace(v, owner=v.holder if n == ZERO else n) for v, n in zip(found, told, strict=True))


def obeyed(words: Words, i: int) -> str:
    """Whom a holder says that it obeys, as MakerBooks takes it; the zero address where it says no one."""
    said = words.uint(i) if words.ok[i] and words.count[i] == 1 else 0
    return checksum(said) if 0 < said < 2**160 else ZERO

"""A small Aave v3.6 market in memory that answers a batch call by call, for tests without a chain.

It is a builder of words, not a second implementation: account data come from the vector-tested formulas.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from keeper.model import Block, Call
from keeper.units import RAY
from keeper.venues.aave_v3 import AaveV3, book
from keeper.venues.aave_v3.math import LINE_3_5, RELEASES, Line, supply_index, value_down
from keeper.words import Words

NOW_S = 1_750_000_000
PROVIDER = "0x00000000000000000000000000000000000000A1"
POOL = "0x00000000000000000000000000000000000000A2"
ORACLE = "0x00000000000000000000000000000000000000A3"
ALICE = book.checksum(0xA11CE)
BOB = book.checksum(0xB0B)
MULTICALL = book.checksum(0xCA11)


def address(kind: int, id: int) -> str:
    """A token (0x10), aToken (0x20) or debt token (0x30) of the reserve ``id``, EIP-55."""
    return book.checksum(kind << 8 | id)


@dataclass(frozen=True, kw_only=True)
class FakeReserve:
    """One reserve; rates, indices and flags as the pool stores them."""

    symbol: str
    price: int
    decimals: int = 18
    ltv: int = 7_500
    threshold: int = 8_000
    bonus: int = 10_500
    active: bool = True
    frozen: bool = False
    paused: bool = False
    supply_cap: int = 0
    supply_index: int = RAY * 21 // 20
    borrow_index: int = RAY * 11 // 10
    supply_rate: int = RAY // 50
    borrow_rate: int = RAY // 20
    updated_s: int = NOW_S - 12_345
    scaled_supply: int = 10**24
    scaled_debt: int = 10**23
    cash: int = 10**24
    category: int = 0
    """E-mode category in the configuration (3.0 line)."""

    @property
    def config(self) -> int:
        """The pool's configuration word."""
        flags = self.active << 56 | self.frozen << 57 | 1 << 58 | self.paused << 60
        numbers = self.ltv | self.threshold << 16 | self.bonus << 32 | self.decimals << 48
        return numbers | flags | 1_000 << 64 | self.supply_cap << 116 | 1_000 << 152 | self.category << 168


@dataclass(frozen=True, kw_only=True)
class FakeUser:
    """One account: scaled balances by reserve id, which of them count, its e-mode."""

    collateral: Mapping[int, int] = field(default_factory=dict)
    debt: Mapping[int, int] = field(default_factory=dict)
    off: frozenset[int] = frozenset()
    mode: int = 0

    @property
    def config(self) -> int:
        """The pool's bitmap."""
        on = sum(2 << 2 * i for i, scaled in self.collateral.items() if scaled and i not in self.off)
        return on | sum(1 << 2 * i for i, scaled in self.debt.items() if scaled)


@dataclass(frozen=True, kw_only=True)
class FakeMode:
    """One e-mode category over reserve ids."""

    label: str
    ltv: int
    threshold: int
    bonus: int
    collateral: frozenset[int]


@dataclass(kw_only=True)
class FakeMarket:
    """The whole chain that a batch can see; ``broken`` targets or (target, selector) revert."""

    reserves: list[FakeReserve]
    users: dict[str, FakeUser] = field(default_factory=dict)
    modes: dict[int, FakeMode] = field(default_factory=dict)
    wallet: dict[str, int] = field(default_factory=dict)
    revision: int = 10
    stable_debt: int | str = 0
    """What the pool names as every reserve's token of stable-rate debt."""
    oracle: str = ORACLE
    oracle_has_code: bool = True
    base_currency: int = 0
    now_s: int = NOW_S
    broken: set[tuple[str, bytes, str]] = field(default_factory=set)
    """(target, selector, first argument or empty) that reverts."""
    lies: dict[str, int] = field(default_factory=dict)
    """Account -> wei by which the pool's health differs from the truth."""
    batches: int = 0

    def block(self, number: int = 100) -> Block:
        """The block that it stands at."""
        return Block(
            chain_id=1,
            number=number,
            hash="0x" + "11" * 32,
            parent_hash="0x" + "10" * 32,
            timestamp_s=self.now_s,
            base_fee_wei=10**9,
        )

    def venue(self) -> AaveV3:
        """The market loaded through ``read``."""
        return AaveV3(asyncio.run(book.market("market", PROVIDER, 1, self.read)))

    async def read(self, calls: Sequence[Call]) -> Words:
        """One multicall."""
        self.batches += 1
        return self.words(calls)

    def words(self, calls: Sequence[Call]) -> Words:
        """The answers as Multicall3 would encode them."""
        return encode_answers([self.answer(c) for c in calls])

    def set(self, id: int, **changes: object) -> None:
        """Change a reserve."""
        self.reserves[id] = replace(self.reserves[id], **changes)  # type: ignore[arg-type]

    def answer(self, call: Call) -> bytes | None:
        """One call's return data, None when it reverts."""
        name, args = call.data[:4], call.data[4:]
        first = book.checksum(int.from_bytes(args[:32])) if args else ""
        if {(call.target, name, ""), (call.target, name, first)} & self.broken:
            return None
        if call.target == PROVIDER:
            return {book.GET_POOL: words(POOL), book.GET_PRICE_ORACLE: words(self.oracle)}.get(name)
        if call.target == POOL:
            return self._pool(name, first, int.from_bytes(args[:32]) if args else 0)
        if call.target == self.oracle:
            return self._oracle(name, first) if self.oracle_has_code else b""
        kind, id = divmod(int(call.target, 16), 256)
        if kind in (0x10, 0x20, 0x30) and id < len(self.reserves):
            return self._token(kind, id, name, first)
        if call.target == MULTICALL:
            return words(self.wallet.get("native", 0))
        return b""

    def _oracle(self, name: bytes, first: str) -> bytes | None:
        if name == book.GET_ASSET_PRICE:
            price = self.reserves[int(first, 16) & 0xFF].price
            return words(price) if price >= 0 else None
        return {book.BASE_CURRENCY: words(self.base_currency), book.BASE_CURRENCY_UNIT: words(10**8)}.get(
            name
        )

    def _pool(self, name: bytes, first: str, number: int) -> bytes | None:
        if name == book.POOL_REVISION:
            return words(self.revision)
        if name == book.GET_RESERVES_LIST:
            return words(32, len(self.reserves), *(address(0x10, i) for i in range(len(self.reserves))))
        if name == book.GET_RESERVE_DATA:
            return self._reserve_data(int(first, 16) & 0xFF)
        if name == book.GET_VIRTUAL_BALANCE:
            return words(self.reserves[int(first, 16) & 0xFF].cash)
        user = self.users.get(first, FakeUser())
        if name == book.GET_USER_CONFIGURATION:
            return words(user.config)
        if name == book.GET_USER_EMODE:
            return words(user.mode)
        if name == book.GET_USER_ACCOUNT_DATA:
            return self._account_data(first, user)
        return self._mode(name, self.modes.get(number))

    @property
    def line(self) -> Line:
        """The arithmetic of its release; of one to come, the newest."""
        return next((line for revision, _, line in RELEASES if revision == self.revision), LINE_3_5)

    def _mode(self, name: bytes, mode: FakeMode | None) -> bytes | None:
        if mode is None:
            return None
        if name == book.GET_EMODE_DATA:
            numbers = words(32, mode.ltv, mode.threshold, mode.bonus, 0, 160, len(mode.label))
            return numbers + mode.label.encode().ljust(32, b"\0")
        if name == book.GET_EMODE_LABEL:
            return words(32, len(mode.label)) + mode.label.encode().ljust(32, b"\0")
        return {
            book.GET_EMODE_CONFIG: words(mode.ltv, mode.threshold, mode.bonus),
            book.GET_EMODE_BITMAP: words(sum(1 << i for i in mode.collateral)),
            **({book.GET_EMODE_LTVZERO: words(0)} if self.line.modes_have_ltv_zero else {}),
        }.get(name)

    def _reserve_data(self, id: int) -> bytes:
        r = self.reserves[id]
        return words(
            *(r.config, r.supply_index, r.supply_rate, r.borrow_index, r.borrow_rate, 0, r.updated_s, id),
            *(address(0x20, id), self.stable_debt, address(0x30, id), 0, 0, 0, 0),
        )

    def _token(self, kind: int, id: int, name: bytes, first: str) -> bytes | None:
        r = self.reserves[id]
        if name == book.SYMBOL:
            return words(32, len(r.symbol)) + r.symbol.encode().ljust(32, b"\0")
        if name == book.SCALED_TOTAL_SUPPLY:
            return words(r.scaled_supply if kind == 0x20 else r.scaled_debt)
        if name == book.SCALED_BALANCE_OF:
            user = self.users.get(first, FakeUser())
            return words((user.collateral if kind == 0x20 else user.debt).get(id, 0))
        return words(self.wallet.get(r.symbol, 0))

    def _account_data(self, account: str, user: FakeUser) -> bytes | None:
        c = d = by_threshold = by_ltv = 0
        line = self.line
        for id, r in enumerate(self.reserves):
            unit, age = 10**r.decimals, self.now_s - r.updated_s
            mode = self.modes.get(user.mode)
            special = mode is not None and id in mode.collateral
            ltv, threshold = (mode.ltv, mode.threshold) if special and mode else (r.ltv, r.threshold)
            if user.config >> 2 * id & 3 and r.price < 0:
                return None
            if not line.modes_have_ltv_zero and not r.ltv:
                ltv = 0
            if user.config >> 2 * id & 2 and (r.threshold or line.bare_threshold_counts):
                index = supply_index(r.supply_index, r.supply_rate, age)
                base = value_down(line.collateral(user.collateral[id], index), r.price, unit)
                c, by_threshold, by_ltv = c + base, by_threshold + base * threshold, by_ltv + base * ltv
            if user.config >> 2 * id & 1:
                index = line.borrow_index(r.borrow_index, r.borrow_rate, age)
                d += line.debt_value(line.debt(user.debt[id], index), r.price, unit)
        six = line.account(c, d, by_threshold, by_ltv)
        return words(*six[:5], six[5] + self.lies.get(account, 0))


def market(**changes: object) -> FakeMarket:
    """WETH, USDC and WBTC with a borrower (ALICE) and an empty account (BOB)."""
    made = FakeMarket(
        reserves=[
            FakeReserve(symbol="WETH", price=3_000 * 10**8, threshold=8_300, ltv=8_050),
            FakeReserve(symbol="USDC", price=10**8, decimals=6, threshold=7_800),
            FakeReserve(symbol="WBTC", price=90_000 * 10**8, decimals=8, threshold=7_800, ltv=7_300),
        ],
        users={ALICE: FakeUser(collateral={0: 10 * 10**18}, debt={1: 10_000 * 10**6})},
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def words(*values: int | str) -> bytes:
    """ABI words of integers and addresses."""
    return b"".join(book.word(v) for v in values)


def encode_answers(answers: Sequence[bytes | None]) -> Words:
    """``aggregate3``'s ``(bool,bytes)[]``."""
    heads, tails, at = [], [], 32 * len(answers)
    for answer in answers:
        data = answer or b""
        tail = words(int(answer is not None), 64, len(data)) + data + bytes(-len(data) % 32)
        heads.append(book.word(at))
        tails.append(tail)
        at += len(tail)
    body = words(32, len(answers)) + b"".join(heads) + b"".join(tails)
    return Words([body], [len(answers)])

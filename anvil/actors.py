"""Borrowers of the test market, one by one or thousands at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from anvil.abi import encode_call
from anvil.client import MAX_FEE_WEI, Chain, transaction
from anvil.deployment import Deployment

UINT256_MAX = 2**256 - 1
VARIABLE_RATE = 2
_SUPPLY = "supply(address,uint256,address,uint16)"
_BORROW = "borrow(address,uint256,uint256,uint16,address)"
_REPAY = "repay(address,uint256,uint256,address)"
_SET_COLLATERAL = "setUserUseReserveAsCollateral(address,bool)"
_ACCOUNT = "getUserAccountData(address)(uint256,uint256,uint256,uint256,uint256,uint256)"
_USER_RESERVE = (
    "getUserReserveData(address,address)(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint40,bool)"
)
_BULK_BLOCK_GAS = 10_000_000_000
_BULK_TX_GAS = 900_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountData:
    """``getUserAccountData``: values in 8-decimal dollars, thresholds in bps, health in wad."""

    collateral_base: int
    debt_base: int
    available_base: int
    threshold_bps: int
    ltv_bps: int
    health_wad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrower:
    """A position to be: units by symbol; ``emode`` 0 is the ordinary regime."""

    account: str
    collateral: Mapping[str, int]
    debt: Mapping[str, int]
    emode: int = 0
    disabled: tuple[str, ...] = ()
    """Collateral switched off after borrowing (it must not carry the debt)."""


class Actors:
    """Hands for any unlocked account; each method waits for its receipt, so the node must mine by itself."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self.chain = chain
        self.market = deployment
        chain.errors.update(dict(deployment.errors))

    def mint(self, symbol: str, account: str, units: int) -> None:
        """New tokens out of nothing."""
        token = self.market.token(symbol).address
        self.chain.send(self.market.roles.deployer, token, "mint(address,uint256)", account, units)

    def approve(self, account: str, symbol: str, units: int = UINT256_MAX) -> None:
        """Let the pool pull from ``account``."""
        token = self.market.token(symbol).address
        self.chain.send(account, token, "approve(address,uint256)", self.market.pool, units)

    def supply(self, account: str, symbol: str, units: int, *, on_behalf_of: str | None = None) -> None:
        """Mint, approve and supply."""
        self.mint(symbol, account, units)
        self.approve(account, symbol)
        token = self.market.token(symbol).address
        self._pool(account, _SUPPLY, token, units, on_behalf_of or account, 0)

    def withdraw(self, account: str, symbol: str, units: int = UINT256_MAX) -> None:
        """Take collateral back to the account."""
        token = self.market.token(symbol).address
        self._pool(account, "withdraw(address,uint256,address)", token, units, account)

    def borrow(self, account: str, symbol: str, units: int) -> None:
        """Borrow at the variable rate."""
        token = self.market.token(symbol).address
        self._pool(account, _BORROW, token, units, VARIABLE_RATE, 0, account)

    def repay(self, account: str, symbol: str, units: int, *, on_behalf_of: str | None = None) -> None:
        """Mint, approve and repay."""
        self.mint(symbol, account, units)
        self.approve(account, symbol)
        token = self.market.token(symbol).address
        self._pool(account, _REPAY, token, units, VARIABLE_RATE, on_behalf_of or account)

    def set_emode(self, account: str, category: int) -> None:
        """Enter an e-mode category; 0 leaves."""
        self._pool(account, "setUserEMode(uint8)", category)

    def set_collateral(self, account: str, symbol: str, enabled: bool) -> None:
        """Switch a supplied asset on or off as collateral."""
        self._pool(account, _SET_COLLATERAL, self.market.token(symbol).address, enabled)

    def open(self, borrower: Borrower) -> None:
        """Build a whole position, step by step."""
        if borrower.emode:
            self.set_emode(borrower.account, borrower.emode)
        for symbol, units in borrower.collateral.items():
            self.supply(borrower.account, symbol, units)
        for symbol, units in borrower.debt.items():
            self.borrow(borrower.account, symbol, units)
        for symbol in borrower.disabled:
            self.set_collateral(borrower.account, symbol, False)

    def open_many(self, borrowers: Sequence[Borrower]) -> None:
        """Build thousands of positions in two blocks (5 ms each); accounts need not be unlocked.

        The lender supplies on behalf of each borrower, who is impersonated for the rest; no receipt is
        awaited before all is sent. Raises Reverted for the first step that failed.
        """
        lender = self.market.roles.lender
        for symbol, units in _totals(borrowers).items():
            self.mint(symbol, lender, units)
        # two blocks: a batch reaches the pool in no particular order, and a borrow needs its collateral
        supplies: list[tuple[str, bytes]] = []
        rest: list[tuple[str, bytes]] = []
        for borrower in borrowers:
            for sender, data in self._script(borrower):
                (supplies if sender == lender else rest).append((sender, data))
        with _by_hand(self.chain):
            self._mine_together(supplies)
            self._mine_together(rest)

    def account(self, user: str, *, block: int | str = "latest") -> AccountData:
        """The pool's own view of an account."""
        values = self.chain.call(self.market.pool, _ACCOUNT, user, block=block)
        collateral, debt, available, threshold, ltv, health = values
        return AccountData(
            collateral_base=collateral,
            debt_base=debt,
            available_base=available,
            threshold_bps=threshold,
            ltv_bps=ltv,
            health_wad=health,
        )

    def price_usd8(self, symbol: str, *, block: int | str = "latest") -> int:
        """The market oracle's price of one whole token."""
        token = self.market.token(symbol).address
        return int(self.chain.call(self.market.oracle, "getAssetPrice(address)(uint256)", token, block=block))

    def balance(self, symbol: str, account: str) -> int:
        """Token units in the account's wallet."""
        token = self.market.token(symbol).address
        return int(self.chain.call(token, "balanceOf(address)(uint256)", account))

    def holdings(self, user: str) -> tuple[dict[str, int], dict[str, int]]:
        """(collateral that counts, debt) in units by symbol."""
        collateral, debt = {}, {}
        for token in self.market.tokens:
            row = self.chain.call(self.market.data_provider, _USER_RESERVE, token.address, user)
            if row[0] and row[8]:
                collateral[token.symbol] = int(row[0])
            if row[2]:
                debt[token.symbol] = int(row[2])
        return collateral, debt

    def _script(self, borrower: Borrower) -> Iterable[tuple[str, bytes]]:
        """(sender, calldata to the pool) of each step, in order."""
        lender, account = self.market.roles.lender, borrower.account
        address = {t.symbol: t.address for t in self.market.tokens}
        if borrower.emode:
            yield account, encode_call("setUserEMode(uint8)", borrower.emode)
        for symbol, units in borrower.collateral.items():
            yield lender, encode_call(_SUPPLY, address[symbol], units, account, 0)
        for symbol, units in borrower.debt.items():
            yield account, encode_call(_BORROW, address[symbol], units, VARIABLE_RATE, 0, account)
        for symbol in borrower.disabled:
            yield account, encode_call(_SET_COLLATERAL, address[symbol], False)

    def _mine_together(self, sends: Sequence[tuple[str, bytes]]) -> None:
        """Send calls to the pool from impersonated accounts and mine them in one block."""
        chain = self.chain
        counts = Counter(sender for sender, _ in sends)
        chain.batch(
            ("anvil_setBalance", (sender, hex((10 + n) * _BULK_TX_GAS * MAX_FEE_WEI)))
            for sender, n in counts.items()
        )
        used = chain.batch(("eth_getTransactionCount", (sender, "latest")) for sender in counts)
        nonces = {sender: int(n, 16) for sender, n in zip(counts, used, strict=True)}
        requests = []
        for sender, data in sends:
            fields = transaction(sender, self.market.pool, data, gas=_BULK_TX_GAS)
            requests.append(("eth_sendTransaction", ({**fields, "nonce": hex(nonces[sender])},)))
            nonces[sender] += 1
        hashes = chain.batch(requests)
        chain.mine()
        receipts = chain.batch(("eth_getTransactionReceipt", (h,)) for h in hashes)
        failed = [h for h, r in zip(hashes, receipts, strict=True) if r is None or r["status"] != "0x1"]
        chain.confirm(failed[:1], timeout_s=0.0)

    def _pool(self, account: str, signature: str, *arguments: object) -> dict[str, Any]:
        return self.chain.send(account, self.market.pool, signature, *arguments)


@contextmanager
def _by_hand(chain: Chain) -> Iterator[None]:
    """Blocks made by hand, large enough for everything, and any account may send; put back afterwards."""
    gas_limit = chain.rpc("eth_getBlockByNumber", "latest", False)["gasLimit"]
    mines_itself = chain.rpc("anvil_getAutomine")
    chain.rpc("anvil_autoImpersonateAccount", True)
    chain.rpc("evm_setAutomine", False)
    chain.rpc("evm_setBlockGasLimit", hex(_BULK_BLOCK_GAS))
    try:
        yield
    finally:
        chain.rpc("evm_setBlockGasLimit", gas_limit)
        chain.rpc("evm_setAutomine", mines_itself)
        chain.rpc("anvil_autoImpersonateAccount", False)


def _totals(borrowers: Iterable[Borrower]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for borrower in borrowers:
        for symbol, units in borrower.collateral.items():
            totals[symbol] = totals.get(symbol, 0) + units
    return totals

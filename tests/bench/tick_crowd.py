"""A market with a crowd of guarded borrowers, and a keeper's home for the first n of them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from anvil import shock
from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.compile import compile_aave
from anvil.deploy import deploy
from anvil.deployment import Deployment
from anvil.node import Anvil, AnvilSettings
from anvil.scenario import Pair
from anvil.stage import Home, keystore, write_config
from keeper.config import Settings, load
from keeper.granting import grant

SLICE = 50
"""Borrowers opened at once: anvil answers receipts of longer blocks slowly."""
ETH_USD8 = 3_000 * 10**8
PATIENT_HEALTH_PC = 136
CROWD_HEALTH_PC = 240
FALLEN = (88, 100)
"""A fall of 12 %: the patient's health crosses its trigger, the crowd's stays above the warning line."""
STORM = (48, 100)
"""A fall of 52 %: everybody is below the trigger at once."""
BLOCK_S = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The patient first, then the others; all on one market."""

    node: Anvil
    chain: Chain
    market: Deployment
    folder: Path
    wallet: str
    accounts: tuple[str, ...]

    def settings(self, n: int) -> Settings:
        """The first ``n`` guarded, in a home of their own; live, never armed: all planned, nothing sent."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        pairs = tuple(
            Pair(label=f"guarded {i}", guarded=a, twin=a, borrower=_borrower(self.market, a, i))
            for i, a in enumerate(self.accounts[:n])
        )
        home = Home(folder=folder, mode="live", address=self.wallet, block_s=BLOCK_S)
        for name in ("keystore.json", "password"):
            (folder / name).symlink_to(self.folder / name)
        settings = load(write_config(self.node, self.market, pairs, home))
        return replace(settings, state_dir=folder / "state")

    def price(self, parts: tuple[int, int]) -> None:
        """ETH at a fraction of its start price, in a block of its own."""
        up, down = parts
        shock.set_prices(self.chain, self.market, {"WETH": ETH_USD8 * up // down})


@contextmanager
def crowd(folder: Path, n: int) -> Iterator[Crowd]:
    """A node with the market, ``n`` borrowers and a funded wallet whose approvals are set."""
    with Anvil(AnvilSettings()) as node:
        chain = Chain(node.url)
        try:
            market = deploy(chain, compile_aave())
            accounts = tuple(to_checksum_address(keccak(text=f"tick {i}")[-20:]) for i in range(n))
            actors = Actors(chain, market)
            borrowers = [_borrower(market, a, i) for i, a in enumerate(accounts)]
            for first in range(0, n, SLICE):
                actors.open_many(borrowers[first : first + SLICE])
            wallet = keystore(folder)
            made = Crowd(
                node=node, chain=chain, market=market, folder=folder, wallet=wallet, accounts=accounts
            )
            chain.rpc("anvil_setBalance", wallet, hex(1_000 * 10**18))
            for symbol, units in {"USDC": 5_000_000, "WETH": 2_000}.items():
                actors.mint(symbol, wallet, units * market.token(symbol).unit)
            asyncio.run(grant(made.settings(1), {"USDC": "5000000", "WETH": "2000"}, True))
            yield made
        finally:
            chain.close()


def _borrower(market: Deployment, account: str, i: int) -> Borrower:
    """ETH against dollars. Every third also holds BTC, every fourth owes a second asset."""
    unit = {s: market.token(s).unit for s in ("WETH", "WBTC", "USDC", "DAI")}
    weth, wbtc = unit["WETH"] + i * unit["WETH"] // 1_000, unit["WBTC"] // 1_000 if i and i % 3 == 0 else 0
    weighted_usd = weth * 3_000 * 83 // (100 * unit["WETH"]) + wbtc * 90_000 * 78 // (100 * unit["WBTC"])
    owed_usd = weighted_usd * 100 // (CROWD_HEALTH_PC if i else PATIENT_HEALTH_PC)
    dai = owed_usd // 10 if i % 4 == 1 else 0
    collateral = {"WETH": weth, **({"WBTC": wbtc} if wbtc else {})}
    debt = {"USDC": (owed_usd - dai) * unit["USDC"], **({"DAI": dai * unit["DAI"]} if dai else {})}
    return Borrower(account=account, collateral=collateral, debt=debt)

"""The real Aave market on a chain of its own, with feeds that can be set, a timelock over it, and a real daemon."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anvil.abi import encode_call
from anvil.actors import Actors, Borrower
from anvil.client import Chain, Reverted
from anvil.compile import Artifact, own_artifact
from anvil.deploy import deploy
from anvil.deploy_aave_v3_0 import shipped
from anvil.deployment import Deployment
from anvil.node import Anvil, AnvilSettings
from keeper.config import VenueSettings, load
from keeper.model import Entry
from tests.venue_stage import Guarded, armed, home, running

GENESIS_S = 1_750_000_000
USD = 10**8
DAY_S = 86_400
TOLD_S = 90.0
WAD = 10**18
CONFIGURE = "configureReserveAsCollateral(address,uint256,uint256,uint256)"
SWAP = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))(uint256)"
GRACE_S = 3_600
"""Of the market's sentinel, as on Aave's markets on rollups."""
ACCOUNT = "getUserAccountData(address)(uint256,uint256,uint256,uint256,uint256,uint256)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A guarded position and its twin, which nobody guards and which owes more."""

    given: tuple[str, float]
    owed: str
    owes: float
    twin_owes: float
    emode: int = 0


LOANS: Mapping[str, Loan] = {
    # at 2,450 the twin lies between 0.95 and 1: liquidatable, but not while the sentinel holds liquidators back
    "plain": Loan(given=("WETH", 10), owed="USDC", owes=19_000, twin_owes=21_000),
    "luna": Loan(given=("DAI", 20_000), owed="WETH", owes=3.0, twin_owes=4.0),
    "loop": Loan(given=("wstETH", 10), owed="WETH", owes=10.857, twin_owes=11.12, emode=2),
    "vote": Loan(given=("wstETH", 10), owed="USDC", owes=23_500, twin_owes=27_500),
    "depeg": Loan(given=("USDC", 20_000), owed="DAI", owes=18_050, twin_owes=18_400, emode=1),
    "kelp": Loan(given=("WBTC", 1), owed="USDC", owes=65_600, twin_owes=65_695),
}
TIGHT = ("loop", "depeg", "kelp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """Everything that the incidents are played on."""

    chain: Chain
    market: Deployment
    at: Guarded
    accounts: Mapping[str, str]
    twins: Mapping[str, str]
    block: Callable[[], dict[str, Any]]
    feeds: Mapping[str, str]
    """What is set to move a price, by symbol; ``wstETH``: the adapter that caps its ratio."""
    timelock: str
    lands_s: int
    uptime: str
    """A double of Chainlink's sequencer uptime feed: 0 up, 1 down; the market's real sentinel asks it as well."""
    since_id: int = 0
    """What was journaled up to here was before the incident."""

    def submit(self, to: str, signature: str, *arguments: object) -> None:
        """A transaction of the market's owner, for the next block."""
        self.chain.submit(self.chain.accounts[0], to, encode_call(signature, *arguments))

    def price(self, symbol: str, usd: float) -> None:
        """A new round of the feed, for the next block."""
        self.submit(self.feeds[symbol], "set(int256)", int(usd * USD))

    def blocks(self, n: int = 4) -> None:
        for _ in range(n):
            self.block()

    def later(self, seconds: int) -> None:
        """The next block comes so late."""
        self.chain.rpc("evm_setNextBlockTimestamp", self.chain.block().timestamp_s + seconds)

    def begun(self) -> Night:
        """The same, where only what is journaled from here on counts as told."""
        return replace(self, since_id=max((e.id for e in self.at.entries("alarm")), default=0))

    def told(self, code: str, text: str = "", *, about: str = "") -> Entry:
        """Wait for the first such alarm since the incident began, ``text`` in its why; ``about``: an account."""
        deadline_s = time.monotonic() + TOLD_S
        while True:
            for e in self.at.entries("alarm"):
                named = e.data["code"] == code and text in e.why and about in e.subject
                if named and e.id > self.since_id:
                    return e
            heard = [
                (e.data["code"], e.subject, e.why) for e in self.at.entries("alarm") if e.id > self.since_id
            ]
            assert time.monotonic() < deadline_s, f"{code} {text} {about} was never said: {heard}"
            time.sleep(0.1)

    def lost(self, account: str) -> bool:
        """Whether a liquidator could take a part of the position now, by the pool itself; raises when unclear."""
        if int(self.chain.call(self.market.pool, ACCOUNT, account)[5]) >= WAD:
            return False
        loan = next(LOANS[n] for n in LOANS if account in (self.accounts.get(n), self.twins.get(n)))
        self.chain.call(
            self.market.pool,
            "liquidationCall(address,address,address,uint256,bool)",
            self.market.token(loan.given[0]).address,
            self.market.token(loan.owed).address,
            account,
            2**256 - 1,
            True,
            sender=self.market.roles.liquidator,
        )
        return True

    def held_back(self, account: str) -> bool:
        """Whether only the market's sentinel keeps liquidators from the position."""
        try:
            self.lost(account)
        except Reverted as reverted:
            return reverted.name == "PriceOracleSentinelCheckFailed"
        return False

    def rescued(self, name: str) -> list[str]:
        return self.at.rescues(self.accounts[name])


@contextmanager
def night(code: dict[str, Artifact], folder: Path) -> Iterator[Night]:
    """Build it, run the daemon over it, and take it down again."""
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S)) as node:
        chain = Chain(node.url)
        try:
            market = deploy(chain, code)
            yield from _built(node, chain, market, folder)
        finally:
            chain.close()


def _built(node: Anvil, chain: Chain, market: Deployment, folder: Path) -> Iterator[Night]:
    me = chain.accounts[0]
    feeds = _feeds(chain, market)
    uptime, proxy = _sequencer(chain, market)
    actors = Actors(chain, market)
    accounts = dict(zip(LOANS, market.roles.actors, strict=False))
    twins = dict(zip(LOANS, market.roles.actors[len(LOANS) :], strict=False))
    for name, loan in LOANS.items():
        symbol, given = loan.given
        owed = market.token(loan.owed).unit
        for who, owes in ((accounts[name], loan.owes), (twins[name], loan.twin_owes)):
            held = {symbol: int(given * market.token(symbol).unit)}
            actors.open(
                Borrower(account=who, collateral=held, debt={loan.owed: int(owes * owed)}, emode=loan.emode)
            )
    lock, lands_s = _queued(chain, market)
    aave = VenueSettings(name="aave", kind="aave_v3", chain="local", provider=market.provider)
    at = home(
        folder,
        node,
        chain,
        [(aave, accounts)],
        multicall=market.multicall,
        native=market.token("WETH").address,
        tight=TIGHT,
    )
    text = at.config.read_text().replace(
        "native_token =",
        f'uniswap_quoter = "{market.uniswap.quoter}"\nuptime_feed = "{proxy}"\nnative_token =',
        1,
    )
    watched = f'[[chains.timelocks]]\nkind = "aave_payloads"\naddress = "{lock}"\n[[venues]]'
    at.config.write_text(text.replace("[[venues]]", watched, 1))
    at = replace(at, settings=load(at.config))
    for symbol, whole in (("USDC", 1_000_000), ("WETH", 200), ("DAI", 200_000)):
        token = market.token(symbol)
        chain.send(me, token.address, "mint(address,uint256)", at.wallet, whole * token.unit)
        liquidator = market.roles.liquidator
        chain.send(me, token.address, "mint(address,uint256)", liquidator, whole * token.unit)
        chain.send(liquidator, token.address, "approve(address,uint256)", market.pool, 2**256 - 1)
    armed(at, {"USDC": "1000000", "DAI": "200000", "WETH": "200"})
    with running(at) as block:
        block()
        yield Night(
            chain=chain,
            market=market,
            at=at,
            accounts=accounts,
            twins=twins,
            block=block,
            feeds=feeds,
            timelock=lock,
            lands_s=lands_s,
            uptime=uptime,
        )


def _feeds(chain: Chain, market: Deployment) -> dict[str, str]:
    """The real oracle asks feeds of ours: one that stays at its minimum, and one that caps a ratio."""
    me = chain.accounts[0]
    feeds = {t.symbol: t.feed for t in market.tokens}
    bounded = chain.deploy(own_artifact("AggregatorDouble"), USD, 65 * USD // 100, 1_000 * USD, "DAI / USD")
    proxy = chain.deploy(own_artifact("FeedProxyDouble"), bounded)
    capped = chain.deploy(own_artifact("CappedRatioDouble"), feeds["WETH"], 12 * 10**17, 10**10)
    tokens = [market.token("DAI").address, market.token("wstETH").address]
    chain.send(me, market.oracle, "setAssetSources(address[],address[])", tokens, [proxy, capped])
    return {**feeds, "DAI": bounded, "wstETH": capped}


def _sequencer(chain: Chain, market: Deployment) -> tuple[str, str]:
    """The real sentinel of the release's own build over an uptime feed that can be set, and its grace gone by."""
    me = chain.accounts[0]
    uptime = chain.deploy(own_artifact("AggregatorDouble"), 0, 0, 1, "L2 Sequencer Uptime Status Feed")
    proxy = chain.deploy(own_artifact("FeedProxyDouble"), uptime)
    sentinel = chain.deploy(shipped("PriceOracleSentinel"), market.provider, proxy, GRACE_S)
    chain.send(me, market.provider, "setPriceOracleSentinel(address)", sentinel)
    chain.learn(shipped("PriceOracleSentinel"))
    chain.rpc("evm_setNextBlockTimestamp", chain.block().timestamp_s + 2 * GRACE_S)
    chain.rpc("evm_mine")
    return uptime, proxy


def _queued(chain: Chain, market: Deployment) -> tuple[str, int]:
    """A vote that has passed: wstETH's threshold falls from 81 % to 74 % in two days, as a payload's code says."""
    me = chain.accounts[0]
    lock = chain.deploy(own_artifact("PayloadsDouble"), 2 * DAY_S)
    chain.send(me, market.acl, "addPoolAdmin(address)", lock)
    wsteth = market.token("wstETH").address
    cut = chain.deploy(own_artifact("CutPayloadDouble"), market.configurator, wsteth, 7_000, 7_400, 10_600)
    chain.send(
        me,
        lock,
        "createPayload((address,bool,uint8,uint256,string,bytes)[])",
        [(cut, True, 1, 0, "execute()", b"")],
    )
    chain.send(me, lock, "queuePayload(uint40)", 0)
    return lock, chain.block().timestamp_s + 2 * DAY_S + 1

"""From trigger to inclusion: a real daemon between bad endpoints, a real market, blocks by the clock.

Three endpoints: the first two fail 20 % of all requests, each in another way, the third is well and answers within
half a block. A position falls below its trigger, and blocks are counted until the rescue is mined.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from anvil.abi import encode_call
from anvil.client import transaction
from anvil.scenario import BlockStep, Funding, Role, Scenario
from anvil.stage import Stage, stage
from tests.anvil_daemon import Night, armed, night, rewritten
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.rpc.faults import Faults, mixed
from tests.chaos.rpc.network import Network
from tests.chaos.rpc.proxy import Proxy

TRIGGERS = 500
A_UNIT = 25
ERRORS = 0.2
P99_BLOCKS_MAX = 2
GIVE_UP_BLOCKS = 12
REST_BLOCKS = 1
"""The policy's cooldown: no trigger finds the position still resting from the last."""
POLL_S = 0.02
LABEL = "plain"
HEALTH = "1.30"
FALL = 0.9
"""Health 1.30 -> 1.17; the trigger is 1.20, the target 1.25."""
TARGET_WAD = 1_249 * 10**15
BORROW = "borrow(address,uint256,uint256,uint16,address)"

STORY = Scenario(
    name="inclusion",
    title="one position that falls below its trigger again and again",
    seconds_per_block=12,
    base_fee_gwei=Decimal(1),
    keeper=Funding(native=Decimal(20), tokens={"USDC": Decimal(90_000)}),
    borrower=(
        Role(
            label=LABEL, collateral={"WETH": Decimal(10)}, debt={"USDC": Decimal(1)}, health=Decimal(HEALTH)
        ),
    ),
    step=(BlockStep(),),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the chain is, and how slow a healthy endpoint may be."""

    block_s: float = 1.0
    answer_s: float = 0.5
    by_clock: bool = True
    """False: blocks are made by hand."""

    @property
    def latency_s(self) -> tuple[float, float]:
        """Typical and most."""
        return self.answer_s / 5, self.answer_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """The stage, the network before its node and the daemon behind the network."""

    on: Stage
    net: Network
    night: Night
    proxies: tuple[Proxy, ...]

    def block(self) -> int:
        """One block made by hand, judged and acted on by the daemon; its number."""
        number = self.net.mine()
        self.night.guard.caught_up(number)
        return number

    def falls(self, share: float) -> int:
        """ETH at this share of its start; the block that says so, as the clock makes it."""
        return self._soon([self._price(share)])

    def falls_now(self, share: float) -> int:
        """The same in a block made by hand, judged and acted on."""
        self.net.order(self._price(share))
        return self.block()

    def taken_back(self, debt: int) -> int:
        """Price and debt as they were at the start, in one block."""
        market, account = self.on.market, self.night.account(LABEL)
        missing = debt - self.on.actors.holdings(account)[1]["USDC"]
        data = encode_call(BORROW, market.token("USDC").address, missing, 2, 0, account)
        return self._soon([self._price(1.0), transaction(account, market.pool, data, gas=1_000_000)])

    def _price(self, share: float) -> dict[str, str]:
        market, price = self.on.market, int(STORY.prices_usd8(-1)["WETH"] * share)
        feed, data = market.token("WETH").feed, encode_call("set(int256)", price)
        return transaction(market.roles.deployer, feed, data, gas=1_000_000)

    def _soon(self, sends: Sequence[Mapping[str, str]]) -> int:
        sender, chain = sends[-1]["from"], self.on.chain
        before = int(chain.rpc("eth_getTransactionCount", sender, "latest"), 16)
        self.net.order(*sends)
        while int(chain.rpc("eth_getTransactionCount", sender, "latest"), 16) == before:
            time.sleep(POLL_S)
        return self.height

    @property
    def height(self) -> int:
        """The newest block."""
        return int(self.on.chain.rpc("eth_blockNumber"), 16)


@contextmanager
def rig(
    folder: Path, pace: Pace, tempers: Sequence[Faults], changes: Mapping[str, str] | None = None
) -> Iterator[Rig]:
    """Everything, with a daemon that is armed and has judged the first block."""
    with stage(STORY, folder, mode="live") as on, Network(on.node.url, on.node.ws_url) as net:
        rewritten(on, {"cooldown_blocks = 2": f"cooldown_blocks = {REST_BLOCKS}", **(changes or {})})
        # straight at the node, which mines each approval at once
        armed(on)
        proxies = tuple(Proxy.open(net, f"node {i}", temper) for i, temper in enumerate(tempers))
        text = on.config.read_text()
        start, end = text.index("[[chains.endpoints]]"), text.index("[[venues]]")
        nodes = "".join(
            f"[[chains.endpoints]]\nname = '{p.name}'\nurl = '{p.url}'\nws_url = '{p.ws_url}'\nrate_per_s = 1000\n"
            for p in proxies
        )
        on.config.write_text(text[:start] + nodes + text[end:])
        rewritten(on, {"block_time_s = 12": f"block_time_s = {pace.block_s}"})
        with night(on) as lives:
            made = Rig(on=on, net=net, night=lives, proxies=proxies)
            if pace.by_clock:
                net.blocks_every(pace.block_s)
            yield made
            net.stop_blocks()


def triggers(on: Rig, many: int) -> Verdict:
    """So many falls, each rescued and taken back; how many blocks each took."""
    counts: Counts = {"triggers": 0, "missed": 0}
    whys = []
    debt = on.on.actors.holdings(on.night.account(LABEL))[1]["USDC"]
    for n in range(many):
        done = set(on.net.seen)
        fell = on.falls(FALL)
        blocks = _rescued(on, fell, done)
        counts["triggers"] += 1
        key = "missed" if blocks is None else f"in_{blocks:02d}"
        counts[key] = counts.get(key, 0) + 1
        if blocks is None or blocks > GIVE_UP_BLOCKS:
            whys.append(f"trigger {n} at block {fell} was not answered: {on.night.guard.tail()[-300:]}")
            break
        if on.night.health(LABEL) < TARGET_WAD:
            whys.append(f"trigger {n}: health {on.night.health(LABEL)} after the rescue")
        back = on.taken_back(debt)
        while on.height < back + REST_BLOCKS:
            time.sleep(POLL_S)
    nonces = [s.tx.nonce for s in on.net.seen.values() if s.block is not None]
    if len(nonces) != len(set(nonces)):
        whys.append("a nonce was mined twice")
    return Verdict(counts=counts, failure="; ".join(whys))


def _rescued(on: Rig, fell: int, before: set[str]) -> int | None:
    """Blocks from the fall until a transaction of the keeper is mined, or None."""
    while on.height <= fell + GIVE_UP_BLOCKS:
        mined = [s.block for h, s in tuple(on.net.seen.items()) if h not in before and s.block is not None]
        if mined:
            return min(mined) - fell
        time.sleep(POLL_S)
    return None


def percentile(counts: Counts, share: float) -> int:
    """The number of blocks within which ``share`` of the triggers were answered; a miss is worse than any."""
    per = sorted((int(k[3:]), n) for k, n in counts.items() if k.startswith("in_"))
    per += [(GIVE_UP_BLOCKS + 1, counts.get("missed", 0))]
    needed, seen = share * sum(n for _, n in per), 0
    for blocks, n in per:
        seen += n
        if seen >= needed and seen:
            return blocks
    return GIVE_UP_BLOCKS + 1


def record_inclusions(counts: Counts, done: int, failures: list[str]) -> None:
    """trigger_to_inclusion_blocks_p99."""
    n, p99 = counts.get("triggers", 0), percentile(counts, 0.99)
    record(
        "trigger_to_inclusion_blocks_p99",
        p99,
        unit="blocks",
        bound=f"<= {P99_BLOCKS_MAX} in {TRIGGERS}",
        holds=False if p99 > P99_BLOCKS_MAX else True if n >= TRIGGERS else None,
        evidence="real_bytecode",
        n=n,
    )


def tempers(pace: Pace) -> tuple[Faults, Faults, Faults]:
    """The two bad ones are asked first."""
    bad = mixed(ERRORS, latency_s=pace.latency_s)
    return bad, bad, Faults(latency_s=pace.latency_s)


def _unit(number: int) -> Verdict:
    pace, folder = Pace(), Path(tempfile.mkdtemp(prefix="keeper-inclusion-"))
    try:
        with rig(folder, pace, tempers(pace)) as on:
            for i, proxy in enumerate(on.proxies):
                proxy.dice.random.seed(f"{number}:{i}")
            return triggers(on, A_UNIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


INCLUSION = Campaign(name="inclusion", units=TRIGGERS // A_UNIT, run=_unit, record=record_inclusions)
__all__ = ["INCLUSION", "Pace", "Rig", "percentile", "rig", "tempers", "triggers"]

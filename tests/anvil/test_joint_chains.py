"""One owner on two real chains, one daemon: one joint row, a tick each; one chain's node dies, the other is acted on.

Both nodes carry the real Aave v3.6 at the very same addresses, and the owner's account is one on both: whatever told
two chains apart by an address alone would mix them up here. On the second he has a loan on the real Morpho Blue too.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from anvil.abi import encode_call
from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.compile import Artifact
from anvil.deploy import deploy
from anvil.deploy_morpho import PARAMS, MorphoMarket, MorphoSite, deploy_morpho, open_loan, usual_price
from anvil.deployment import Deployment
from anvil.guard import START_S, Guard
from anvil.node import Anvil, AnvilSettings
from keeper.config import VenueSettings, load
from keeper.errors import EXIT_UNREACHABLE, Transient
from tests.command import typed
from tests.morpho_stage import settings
from tests.patience import until
from tests.venue_stage import WALLET_WEI, Guarded, armed, home, venue_text

pytestmark = pytest.mark.anvil

GENESIS_S = 1_750_000_000
FAR_ID = 31_338
ETH, DOLLAR, RAY, WAD = 10**18, 10**6, 10**36, 10**18
START = 3_000
HELD = {"near": 10, "far": 8, "blue": 5}
OWED = {"near": 18_500, "far": 15_200, "blue": 7_000}
"""Whole ether and dollars: health 1.35 and 1.31 by Aave, 1.84 by Morpho."""
MARKET = "uint128,uint128,uint128,uint128,uint128,uint128"
FAR = """[[chains]]
name = "far"
chain_id = {chain_id}
block_time_s = 1
multicall = "{multicall}"
native_token = "{native}"
[[chains.endpoints]]
name = "far"
url = "{url}"
ws_url = "{ws_url}"
rate_per_s = 1000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One of the chains, with the market on it."""

    name: str
    """As the configuration calls it."""
    node: Anvil
    chain: Chain
    market: Deployment
    actors: Actors

    def falls_to(self, eth_usd: int, blue: MorphoMarket | None = None) -> None:
        """Its feed says so in the next block, and so does the oracle of the other market."""
        weth, me = self.market.token("WETH"), self.chain.accounts[0]
        self.chain.submit(me, weth.feed, encode_call("set(int256)", eth_usd * 10**8))
        if blue is not None:
            price = usual_price(self.chain, self.market, blue) * eth_usd // START
            self.chain.submit(me, blue.oracle, encode_call("setPrice(uint256)", price))


@dataclass(frozen=True, slots=True, kw_only=True)
class Two:
    """The owner's two chains."""

    near: Place
    far: Place
    site: MorphoSite
    blue: MorphoMarket
    owner: str

    def worth_usd(self, label: str, block: int) -> float:
        """What one leg is worth at a block, by its protocol's own views and nothing of ours."""
        if label == "blue":
            return blue_usd(self, block)
        at = {"near": self.near, "far": self.far}[label]
        held, owed = account(at, self.owner, block)[:2]
        return float(held - owed) / 1e8


def account(at: Place, owner: str, block: int) -> tuple[int, ...]:
    """``getUserAccountData`` at a block."""
    signature = "getUserAccountData(address)(uint256,uint256,uint256,uint256,uint256,uint256)"
    return tuple(at.chain.call(at.market.pool, signature, owner, block=block))


def blue_usd(two: Two, block: int) -> float:
    """Morpho keeps totals as of its last accrual: the interest since is added as its own library does."""
    at, blue, morpho = two.far, two.blue, two.site.morpho
    id = bytes.fromhex(blue.id[2:])
    call = at.chain.call
    _, shares, held = call(
        morpho, "position(bytes32,address)(uint256,uint128,uint128)", id, two.owner, block=block
    )
    market = list(call(morpho, f"market(bytes32)({MARKET})", id, block=block))
    rate = call(
        two.site.irm, f"borrowRateView({PARAMS},({MARKET}))(uint256)", blue.params, market, block=block
    )
    x = rate * (at.chain.block(block).timestamp_s - market[4])
    owed_all = market[2] + market[2] * (x + x * x // (2 * WAD) + x**3 // (6 * WAD * WAD)) // WAD
    owed = shares * (owed_all + 1) / (market[3] + 10**6)
    price = call(blue.oracle, "price()(uint256)", block=block)
    dollar = call(at.market.token(blue.loan).feed, "latestAnswer()(int256)", block=block) / 1e8
    return float(held * price / RAY - owed) / DOLLAR * dollar


class Night:
    """A running daemon of both chains, stepped on each by itself."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    def status(self) -> dict[str, Any]:
        return self.guard.ask({"do": "status"})

    def chain(self, name: str) -> dict[str, Any]:
        """What it says of one chain."""
        (view,) = [c for c in self.status()["chains"] if c["chain"] == name]
        return dict(view)

    def joint(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """The one joint row, and its legs by label."""
        (row,) = self.status()["joint"]
        return row, {leg["label"]: leg for leg in row["legs"]}

    def judged(self, at: Place) -> int:
        """Mines one block there and waits until it is judged; its number."""
        number = at.chain.mine().number
        self.reached(at, number)
        return number

    def reached(self, at: Place, number: int, within_s: float = 90.0) -> None:
        """Waits until that chain's block is judged, seen, and nothing is under way there."""

        def there() -> bool:
            try:
                view = self.chain(at.name)
            except (Transient, ValueError):
                return False
            return (view["block"] or 0) >= number and view["idle"] and view["blind"] is None

        until(there, within_s)


@pytest.fixture
def two(
    upstream: Anvil, chain: Chain, deployment: Deployment, market_code: Mapping[str, Artifact]
) -> Iterator[Two]:
    """The owner's three loans; the far node is this test's own, to be killed."""
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S, chain_id=FAR_ID)) as node:
        client = Chain(node.url)
        try:
            market = deploy(client, dict(market_code))
            assert (market.pool, market.oracle, market.tokens) == (
                deployment.pool,
                deployment.oracle,
                deployment.tokens,
            ), "the same addresses on both"
            site = deploy_morpho(client, market)
            near, far = (
                Place(name=n, node=of, chain=c, market=m, actors=Actors(c, m))
                for n, of, c, m in (("local", upstream, chain, deployment), ("far", node, client, market))
            )
            made = Two(
                near=near, far=far, site=site, blue=site.market("WETH", "USDC"), owner=market.roles.actors[0]
            )
            for label, at in (("near", near), ("far", far)):
                at.actors.open(
                    Borrower(
                        account=made.owner,
                        collateral={"WETH": HELD[label] * ETH},
                        debt={"USDC": OWED[label] * DOLLAR},
                    )
                )
            open_loan(
                client, market, site, made.blue, (made.owner, HELD["blue"] * ETH, OWED["blue"] * DOLLAR)
            )
            yield made
        finally:
            # a node's setting, which no undoing of a snapshot brings back; the node is everybody's
            chain.rpc("evm_setAutomine", True)
            client.close()


def aave(name: str, place: Place) -> VenueSettings:
    """The market there, as a configuration names it."""
    return VenueSettings(name=name, kind="aave_v3", chain=place.name, provider=place.market.provider)


@pytest.fixture
def at(tmp_path: Path, two: Two) -> Guarded:
    """A live keeper of all three, one wallet on both chains, granted and armed."""
    near, far = two.near, two.far
    made = home(
        tmp_path,
        near.node,
        near.chain,
        [
            (
                VenueSettings(name="near", kind="aave_v3", chain="local", provider=near.market.provider),
                {"near": two.owner},
            )
        ],
        multicall=near.market.multicall,
        native=near.market.token("WETH").address,
    )
    blue = replace(settings(far.market, two.site, two.blue), name="blue", chain="far")
    text = made.config.read_text() + FAR.format(
        chain_id=FAR_ID,
        multicall=far.market.multicall,
        native=far.market.token("WETH").address,
        url=far.node.url,
        ws_url=far.node.ws_url,
    )
    text += venue_text(aave("far", far), {"far": two.owner}, ()) + venue_text(blue, {"blue": two.owner}, ())
    made.config.write_text(text)
    far.chain.rpc("anvil_setBalance", made.wallet, hex(WALLET_WEI))
    for place in (near, far):
        place.actors.mint("USDC", made.wallet, 40_000 * DOLLAR)
    made = replace(made, settings=load(made.config))
    armed(made, {"USDC": "30000"})
    return made


@contextmanager
def running(at: Guarded, two: Two, *, alive: tuple[str, ...] = ("local", "far")) -> Iterator[Night]:
    """``keeper run``, caught up with the chains that are alive."""
    with Guard(at.config) as guard:
        night = Night(guard)
        for place in (two.near, two.far):
            if place.name in alive:
                place.chain.rpc("evm_setAutomine", False)
                night.reached(place, place.chain.block().number, START_S)
        yield night


def healths(legs: Mapping[str, Mapping[str, Any]]) -> dict[str, int | None]:
    """Each leg's health in wad; None where it is not known."""
    return {name: None if x["health_wad"] is None else int(x["health_wad"]) for name, x in legs.items()}


def holds(night: Night, two: Two, near: int, far: int) -> dict[str, int | None]:
    """The joint row is what the protocols say at those blocks; the legs' healths."""
    row, legs = night.joint()
    worth = {n: two.worth_usd(n, near if n == "near" else far) for n in HELD}
    assert row["owner"] == two.owner
    assert {n: leg["chain"] for n, leg in legs.items()} == {"near": "local", "far": "far", "blue": "far"}
    assert {n: leg["worth_usd"] for n, leg in legs.items()} == pytest.approx(worth, abs=0.02)
    assert row["worth_usd"] == pytest.approx(sum(worth.values()), abs=0.05)
    found = healths(legs)
    assert found["near"] == account(two.near, two.owner, near)[5]
    assert found["far"] == account(two.far, two.owner, far)[5]
    return found


def shocked(folder: Path, at: Guarded, two: Two) -> None:
    """``keeper shock``: a tenth less for ether takes a tenth of all ether on both chains, of one owner."""
    line = ("shock", "--config", str(at.config), "--grid", "ETH,USDC", "--steps", "-10,0", "--json")
    told = typed(folder, *line)
    assert told.returncode == 0, told.stderr
    body = json.loads(told.stdout)
    assert sorted(body["positions"]) == sorted(HELD)
    # ether by rows, the dollar by columns: it stands still in the second
    fallen, still = (shock["joint_usd"][two.owner] for shock in body["shocks"][1::2])
    blocks = {n: p.chain.block().number for n, p in (("near", two.near), ("far", two.far), ("blue", two.far))}
    assert still == pytest.approx(sum(two.worth_usd(n, b) for n, b in blocks.items()), abs=0.05)
    assert fallen - still == pytest.approx(-START / 10 * sum(HELD.values()), abs=0.1)


def half_told(folder: Path, at: Guarded, near_wad: int | None) -> None:
    """``keeper positions`` shows the chain that answers, names what is guarded on the dead one, and is no success."""
    told = typed(folder, "positions", "--config", str(at.config), "--json")
    body = json.loads(told.stdout)
    assert told.returncode == EXIT_UNREACHABLE
    assert {p["label"]: int(p["health_wad"]) for p in body["positions"]} == {"near": near_wad}
    (lost,) = body["unreachable"]
    assert (lost["chain"], sorted(lost["labels"])) == ("far", ["blue", "far"])
    assert lost["why"]
    table = typed(folder, "positions", "--config", str(at.config))
    assert table.returncode == EXIT_UNREACHABLE
    assert "chain far does not answer, UNKNOWN: far, blue" in table.stdout


def test_joint__over_two_chains_of_which_one_dies__then_it_is_unknown_there_and_the_other_is_acted_on(
    tmp_path: Path, two: Two, at: Guarded
) -> None:
    shocked(tmp_path, at, two)
    with running(at, two) as night:
        near, far = night.judged(two.near), night.judged(two.far)
        calm = holds(night, two, near, far)
        # a fall on the far chain alone, and a block of that chain alone
        two.far.falls_to(2_850, two.blue)
        far = night.judged(two.far)
        assert night.chain("local")["block"] == near, "each chain has a tick of its own"
        fallen = holds(night, two, near, far)
        assert fallen["near"] == calm["near"]
        assert all((fallen[n] or 0) < (calm[n] or 0) for n in ("far", "blue"))
        assert night.joint()[0]["weakest"] == "far"
        near = night.judged(two.near)
        holds(night, two, near, far)

        os.kill(two.far.node.pid, signal.SIGKILL)
        two.near.falls_to(2_640)
        for _ in range(4):
            night.judged(two.near)
        until(lambda: night.chain("far")["blind"])
        row, legs = night.joint()
        gone = {n: (x["worth_usd"], x["health_wad"]) for n, x in legs.items() if x["unreadable"]}
        assert (row["worth_usd"], gone) == (None, dict.fromkeys(("far", "blue"), (None, None)))
        assert {p["level"] for p in night.chain("far")["positions"]} == {"UNKNOWN"}
        near = night.judged(two.near)
        seen = healths(night.joint()[1])
        assert seen["near"] == account(two.near, two.owner, near)[5] >= 13 * WAD // 10
        half_told(tmp_path, at, seen["near"])
    done = [(i.key.position.chain_id, i.plan.strategy) for i in at.intents()]
    assert done == [(two.near.market.chain_id, "repay")]
    assert ("blind", "far") in at.alarms()
    ticks = Counter((e.chain_id, e.block_number) for e in at.entries("tick"))
    assert {c for c, _ in ticks} == {two.near.market.chain_id, FAR_ID}
    assert set(ticks.values()) == {1}, "one tick a block and chain"
    # started anew while that chain is still dead: the owner's other legs are not left out of the whole
    with running(at, two, alive=("local",)) as night:
        row, legs = night.joint()
        assert row["worth_usd"] is None
        known = {n: x["worth_usd"] for n, x in legs.items()}
        assert known == {
            "near": pytest.approx(two.worth_usd("near", near), abs=0.02),
            "far": None,
            "blue": None,
        }
        assert all(legs[n]["unreadable"] for n in ("far", "blue"))
    assert typed(tmp_path, "positions", "--config", str(at.config)).returncode == EXIT_UNREACHABLE

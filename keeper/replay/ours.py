"""Our keeper in a replay: the daemon's own risk, decision, strategies and plan, asked where a line is crossed.

What they choose is compiled and judged by the guard, and then an order of that moment (``flight``); while it is under
way nothing else is ordered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from eth_utils.address import to_checksum_address

from keeper.decision.case import Options
from keeper.decision.decide import decide
from keeper.decision.exposure import over
from keeper.decision.memory import Memory
from keeper.decision.standing import Beside, moves, standing
from keeper.executor import quotes
from keeper.executor.desk import ROOM_BPS
from keeper.model import (
    Block,
    Decision,
    Deleverage,
    Mandate,
    MandateAsset,
    Means,
    Policy,
    Position,
    Proposal,
    Refusal,
    Repay,
    Route,
    Side,
    Snapshot,
    Spent,
    Step,
    Supply,
    Terms,
    Token,
)
from keeper.plan import guard
from keeper.plan.compile import compile_plan
from keeper.replay import beside, flight, paper, purse
from keeper.replay.market import Market
from keeper.replay.paths import Paths
from keeper.replay.policies import Act, Order
from keeper.replay.vessel import Vessel
from keeper.risk.outlook import assess
from keeper.seams import Strategy
from keeper.triggers import crossed, gas_cap_usd
from keeper.units import BPS, GWEI, mul_div_up, wad_float

BLOCK_S = 12.0
DAY_S = 86_400
EXECUTOR = to_checksum_address("0x" + "52" * 20)
KEY = "0x" + "53" * 32
RECEIPT = to_checksum_address("0x" + "54" * 20)
WALLET = to_checksum_address("0x" + "55" * 20)
SLIPPAGE_BPS = 300
TIP_WEI = 2 * GWEI
REVERTS_MAX, REVERT_WINDOW_BLOCKS = 3, 10
"""The daemon's automatic stop: after so many reverts within so many blocks nothing is sent until they are older."""
EVERY_HEALTH = 1e6
"""Finite, for a kernel multiplies debt by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One answer of the rooms."""

    time_s: int
    decisions: tuple[Decision, ...]
    memory: Memory
    """After it."""
    moved_usd: int
    """What the chosen step counts for in the day's cap."""
    crossed: bool
    """Whether the position stands where the policy acts."""
    block: Block
    mandate: Mandate
    gas_usd_max: float
    """Most that a transaction's gas may cost at that health."""
    case: guard.Case
    """What a plan of it is judged by."""

    @property
    def chosen(self) -> tuple[Proposal, ...]:
        """What is to be done."""
        return tuple(p for d in self.decisions for p in d.chosen)

    @property
    def step(self) -> Step | None:
        """The first step of it: each is a transaction of its own, and one is under way at a time."""
        return next((s for p in self.chosen for s in p.steps), None)


class Ours:
    """An owner with an Executor, under ``policy``, and an empty wallet unless told; ``said`` keeps every decision."""

    def __init__(
        self,
        policy: Policy,
        strategies: tuple[Strategy, ...],
        venue: paper.PaperVenue,
        name: str = "ours",
        wallet: purse.Purse | None = None,
    ) -> None:
        self.policy, self.strategies, self.venue, self.name = policy, strategies, venue, name
        self.wallet = wallet
        self.memory = Memory()
        self.said: list[Decision] = []
        self._spent: list[tuple[int, int]] = []
        self._reverted: list[int] = []

    @property
    def line(self) -> float:
        """The policy's trigger; above every health where it follows prices."""
        return EVERY_HEALTH if moves(self.policy) else wad_float(self.policy.trigger_wad)

    def plan(self, vessel: Vessel, market: Market) -> Order | Act:
        """Snapshot -> outlook -> decision -> the chosen step as an order."""
        heard, before = self.heard(vessel, market), self.memory
        self.memory = heard.memory
        self.said.extend(heard.decisions)
        if (stop := self.stopped(heard)) is not None:
            self.memory = heard.memory.with_action(paper.ID, before.of(paper.ID).last_action_block)
            return stop
        if heard.chosen:
            return self.order(heard, before, (vessel, market))
        if not heard.decisions or not heard.crossed:
            return Act(why="nothing is said of it", calm=moves(self.policy))
        return Act(why="; ".join(d.why for d in heard.decisions))

    def stopped(self, heard: Heard) -> Act | None:
        """Why nothing is sent at all: too many reverts lately."""
        since = heard.block.number - REVERT_WINDOW_BLOCKS
        count = sum(n >= since for n in self._reverted)
        if not heard.chosen or count < REVERTS_MAX:
            return None
        return Act(why=f"{count} of its transactions reverted within {REVERT_WINDOW_BLOCKS} blocks")

    def heard(self, vessel: Vessel, market: Market) -> Heard:
        """What the rooms decide at the vessel's present moment; asking changes nothing."""
        snapshot = photograph(vessel, market, self)
        (position,) = snapshot.positions
        policies = {paper.ID: self.standing(position, snapshot.block, snapshot.means)}
        outlooks = assess(snapshot.positions, (), snapshot.prices, (), policies)
        spent_usd = self.spent_usd(snapshot.block.timestamp_s)
        options = Options(
            venues={self.venue.id: self.venue},
            strategies=self.strategies,
            spent_today_usd={paper.ID: spent_usd},
        )
        decisions, memory = decide(snapshot, outlooks, policies, self.memory, options)
        return Heard(
            time_s=snapshot.block.timestamp_s,
            decisions=decisions,
            memory=memory,
            moved_usd=_moved_usd([p.steps[0] for d in decisions for p in d.chosen][:1], snapshot.means),
            crossed=crossed(position.health_wad or 0, policies[paper.ID]),
            block=snapshot.block,
            mandate=snapshot.means.mandates[0],
            gas_usd_max=gas_cap_usd(position.health_wad, policies[paper.ID]),
            case=guard.Case(
                position=position,
                venue=self.venue,
                policy=policies[paper.ID],
                snapshot=snapshot,
                seq=snapshot.block.number,
                spent_today_usd=spent_usd,
            ),
        )

    def order(self, heard: Heard, before: Memory, here: tuple[Vessel, Market]) -> Order | Act:
        """What was chosen as one transaction. ``before``: the memory whose cooldown holds where it comes to
        nothing."""
        step, last, (vessel, market) = heard.step, before.of(paper.ID).last_action_block, here

        def ended(done: Act, landed: Vessel) -> None:
            if not done.why:
                self._spent.append((heard.time_s, heard.moved_usd))
                return
            self.memory = self.memory.with_action(paper.ID, last)
            if done.gas:
                self._reverted.append(block_number(landed))

        wallet = self.wallet
        pays = isinstance(step, Repay | Supply) and wallet is not None and step.through is None
        if not pays and not isinstance(step, Deleverage):
            return Act(why=f"a {type(step).__name__} needs a wallet (--wallet), which this replay has not")
        if (no := refused(heard)) is not None:
            self.memory = self.memory.with_action(paper.ID, last)
            return Act(why=f"{no.who}: {no.why} ({no.code})")
        if isinstance(step, Repay | Supply) and wallet is not None:
            return purse.Payment(
                step=step, gas_usd_max=heard.gas_usd_max, venue=self.venue, purse=wallet, ended=ended
            )
        assert isinstance(step, Deleverage)
        return flight.Flight(
            step=step,
            mandate=flight.on_chain(heard.mandate, self.policy, moves=moves(self.policy)),
            included_s=heard.time_s + int(market.wait_s(vessel.paths, vessel.at)),
            gas_usd_max=heard.gas_usd_max,
            venue=self.venue,
            ended=ended,
        )

    def spent_usd(self, now_s: int) -> float:
        """What was moved within the last day."""
        return sum(usd for time_s, usd in self._spent if time_s >= now_s - DAY_S)

    def standing(self, position: Position, block: Block, means: Means) -> Policy:
        """The policy as it stands for the position."""
        more = over({paper.ID: self.policy}, (position,)).get(paper.ID, ())
        around = Beside(quoted=means.quoted, omen=means.omen, over=more)
        return standing(self.policy, self.memory.of(paper.ID), position, block.timestamp_s, around)


def refused(heard: Heard) -> Refusal | None:
    """The guard's no to the plan of what was chosen, by every rule that it has for the daemon's; None is its yes."""
    proposal = next(p for p in heard.chosen if p.steps)
    planned = compile_plan(replace(proposal, steps=proposal.steps[:1]), heard.case)
    return planned if isinstance(planned, Refusal) else None


def in_paper(policy: Policy, paths: Paths, venue: paper.PaperVenue) -> Policy:
    """The policy with its levels in dollars on the paper's prices, where an asset begins at ``unit_usd``."""

    def scaled(levels: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
        first = {name: paths.usd_of(name) for name, _ in levels if name in paths.assets}
        return tuple((n, int(wad * venue.unit_usd(n) / usd)) for n, wad in levels if (usd := first.get(n)))

    return replace(policy, close_prices=scaled(policy.close_prices), take_profit=scaled(policy.take_profit))


def block_number(vessel: Vessel) -> int:
    """The paper chain's at the vessel's present moment."""
    return 1 + int(vessel.at * vessel.paths.step_s / BLOCK_S)


def photograph(vessel: Vessel, market: Market, ours: Ours) -> Snapshot:
    """The paper chain at the vessel's present moment."""
    paths = vessel.paths
    number = block_number(vessel)
    time_s = int(paths.times_s[paths.bar[vessel.at]])
    gwei = market.gwei(paths, vessel.at)
    block = Block(
        chain_id=paper.CHAIN_ID,
        number=number,
        hash=f"0x{number:064x}",
        parent_hash=f"0x{number - 1:064x}",
        timestamp_s=time_s,
        base_fee_wei=int(gwei * GWEI),
    )
    position = paper.position_of(vessel, ours.venue, number)
    prices = paper.prices(vessel, ours.venue)
    native = market.gas_usd(paths, vessel.at) / (market.gas_units * gwei * 1e-9)
    means = Means(
        wallet=WALLET,
        native_wei=10**20,
        nonce=0,
        balances=ours.wallet.balances if ours.wallet is not None else (),
        allowances=ours.wallet.allowances if ours.wallet is not None else (),
        reserves=tuple(
            paper.reserve_of(t, round(prices[t.symbol] * 10**paper.BASE_DECIMALS), ours.venue)
            for t in ours.venue.tokens
        ),
        tip_wei=TIP_WEI,
        native_price_base=round(native * 10**8),
        routes=_routes(vessel, market, position, ours.venue),
        quoted=beside.quoted_at(paths, vessel.at),
        omen=beside.omen_at(paths, vessel.at),
    )
    means = replace(means, mandates=(_mandate(position, ours.standing(position, block, means), block),))
    return Snapshot(
        block=block,
        positions=(position,),
        unreadable=(),
        means=means,
        prices=prices,
        digest=f"paper {number}",
    )


def _mandate(position: Position, policy: Policy, block: Block) -> Mandate:
    """An Executor whose limits do not bind: what is compared is the keeper, not an owner's caps."""
    terms = Terms(
        trigger_wad=policy.trigger_wad,
        target_wad=policy.target_wad,
        max_wad=policy.max_health_wad,
        emergency_wad=policy.emergency_wad,
        hysteresis_wad=policy.hysteresis_wad,
        cooldown_blocks=0,
        epoch_s=86_400,
        expiry_s=block.timestamp_s + 10**8,
        slippage_bps=SLIPPAGE_BPS,
        flash_fee_bps=10,
        seq=block.number,
        last_block=0,
    )
    assets = [
        _listed(h.amount.token, side)
        for side, held in ((Side.COLLATERAL, position.collateral), (Side.DEBT, position.debt))
        for h in held
    ]
    return Mandate(
        id=position.id,
        executor=EXECUTOR,
        owner=paper.OWNER,
        key=KEY,
        bot=WALLET,
        bot_share_bps=BPS,
        bot_expiry_s=block.timestamp_s + 10**8,
        paused=False,
        terms=terms,
        assets=tuple(assets),
        routers=(),
        routers_refused=(),
        block_number=block.number,
        timestamp_s=block.timestamp_s,
    )


def _listed(token: Token, side: Side) -> MandateAsset:
    return MandateAsset(
        token=token,
        side=side,
        receipt=RECEIPT,
        unit=10**token.decimals,
        sell_cap=paper.ROOM,
        fund_cap=0,
        spent=Spent(),
        bot_spent=Spent(),
        granted=paper.ROOM,
        held=paper.ROOM,
    )


def _routes(vessel: Vessel, market: Market, position: Position, venue: paper.PaperVenue) -> tuple[Route, ...]:
    """Every collateral into every debt at the market's depth, priced at the sizes that the daemon asks a pool for."""
    found = []
    for sold in position.collateral:
        for bought in position.debt:
            if sold.amount.token == bought.amount.token:
                continue
            points = _points(vessel, market, venue, (sold.feed, bought.feed), bought.amount.units)
            found.append(
                Route(
                    executor=EXECUTOR,
                    sell=sold.amount.token,
                    buy=bought.amount.token,
                    fees=(round(market.pool_fee * 10**6),),
                    via=(),
                    pools=(paper.POOL,),
                    router="",
                    points=points,
                )
            )
    return tuple(found)


def _points(
    vessel: Vessel, market: Market, venue: paper.PaperVenue, names: tuple[str, str], most: int
) -> tuple[tuple[int, int], ...]:
    """(debt units bought, collateral units sold), ascending: X (1 - fee) = Y R / (R - Y) of a constant product."""
    sold, bought = names
    unit, paid = (venue.unit_usd(name) / 10**paper.DECIMALS for name in (bought, sold))
    points: list[tuple[int, int]] = []
    for units in quotes.sizes(mul_div_up(most, ROOM_BPS, BPS)):
        wanted = units * unit * vessel.said(bought) * vessel.ahead(bought)
        takes = market.takes(sold, wanted, vessel.level(sold))
        if not math.isfinite(takes):
            break
        spent = takes / (vessel.said(sold) * vessel.ahead(sold)) / paid
        points.append((units, int(spent) + 1))
    return tuple(points)


def _moved_usd(steps: Sequence[Step], means: Means) -> int:
    """Whole USD that the steps move, each rounded up, as the journal books what is sent."""
    price = {r.token: (r.price_base, 10 ** (r.token.decimals + r.base_decimals)) for r in means.reserves}
    return sum(mul_div_up(s.amount.units, *price[s.amount.token]) for s in steps)

"""Three like accounts on a real engine while the price runs against them: one is given margin in time, one is reduced
in time, and their twin is left alone. The engine's own liquidation is tried on all of them at every price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from anvil.client import Chain, Reverted
from keeper.decision import Memory, Options, decide
from keeper.model import Amount, Decision, Policy, Position, Proposal, ReducePerp, Refusal, Step
from keeper.seams import Strategy, Venue
from keeper.units import WAD, wad_from
from strategies.add_margin import AddMargin as Added
from strategies.reduce_perp import ReducePerp as Reduced
from tests import build
from tests.engines.venue import TO_USD, EngineReader

SLIP_BPS = 150
"""How much worse than the mark an order may be filled."""


class Stage(Protocol):
    """What differs from engine to engine."""

    chain: Chain
    reader: EngineReader
    keeper: str

    def liquidate(self, account: str) -> bool: ...
    def settle(self, account: str) -> None: ...
    def move(self, factor: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Margin ratios: a reduction comes first, because below maintenance it is refused; then margin."""

    reduce_below: str
    add_below: str
    target: str


@dataclass(slots=True, kw_only=True)
class Story:
    """What became of the three."""

    liquidated: dict[str, int]
    """Account -> step at which the engine took it."""
    acted: dict[str, list[str]]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the accounts of every story of one engine so far."""

    saved: list[bool] = field(default_factory=list)
    taken: list[bool] = field(default_factory=list)

    def add(self, story: Story, accounts: tuple[str, str, str]) -> None:
        """``accounts``: given margin, reduced, their twin."""
        *guarded, twin = accounts
        self.saved += [bool(story.acted.get(a)) and a not in story.liquidated for a in guarded]
        self.taken.append(twin in story.liquidated)

    def figures(self, engine: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Saved, and liquidated twins; each holds only where it is so of all."""

        def one(name: str, found: Sequence[bool]) -> dict[str, Any]:
            n = len(found)
            proof = {"unit": "positions", "evidence": "real_bytecode", "n": n, "seed": 0}
            told = {"name": f"{name}_{engine}", "value": sum(found), "bound": f"= {n}"}
            return {**told, "holds": bool(found) and all(found), **proof}

        return one("perp_saved", self.saved), one("perp_twins_liquidated", self.taken)


def policy(lines: Lines) -> Policy:
    """The lines as a policy, with room above target."""
    most = str(float(lines.target) * 1.5)
    warn = str(float(lines.reduce_below) * 1.05)
    return replace(
        build.policy(
            warn=warn, trigger=lines.add_below, target=lines.target, emergency="1.05", max_health=most
        ),
        hysteresis_wad=wad_from("0.05"),
    )


def margin_to_add(stage: Stage, account: str, lines: Lines) -> Proposal | Refusal:
    """What the shipped strategy proposes from the keeper's wallet, by the photograph of the newest block."""
    return proposed(stage, account, policy(lines), Added())


def size_to_close(stage: Stage, account: str, lines: Lines) -> Proposal | Refusal:
    """What the shipped strategy closes while the engine still lets it."""
    early = replace(policy(lines), trigger_wad=wad_from(lines.reduce_below))
    return proposed(stage, account, early, Reduced())


def both(lines: Lines) -> Policy:
    """One policy that names both strategies: reduced at its trigger, given margin below its emergency."""
    early, late = wad_from(lines.reduce_below), wad_from(lines.add_below)
    names = (Added.name, Reduced.name)
    return replace(policy(lines), trigger_wad=early, emergency_wad=late, strategies=names)


def decided(stage: Stage, account: str, wished: Policy) -> tuple[Decision | None, Position]:
    """What the shipped decision takes of both strategies in the newest block, and of what; None where nothing is
    to be said."""
    snapshot = stage.reader.snapshot([account])
    (position,), venue = snapshot.positions, stage.reader.venue
    options = Options(venues={venue.id: venue}, strategies=(Added(), Reduced()))
    said, _ = decide(snapshot, [build.outlook(position)], {position.id: wished}, Memory(), options)
    return next(iter(said), None), position


def proposed(stage: Stage, account: str, wished: Policy, strategy: Strategy) -> Proposal | Refusal:
    """A strategy's answer by the newest block."""
    snapshot = stage.reader.snapshot([account])
    position = snapshot.positions[0]
    venue = stage.reader.venue
    return strategy.propose(position, build.outlook(position), wished, snapshot.means, venue, snapshot.block)


def reduction(position: Position, target: str) -> ReducePerp:
    """Of the largest leg: the share by which the requirement falls to margin over target."""
    leg = max(position.collateral[1:], key=lambda h: h.amount.units * h.price_base)
    need = position.debt[0].stored
    kept = position.collateral[0].value_base // TO_USD * WAD // wad_from(target)
    units = min(leg.amount.units * max(need - kept, 0) // need + 1, leg.amount.units)
    worse = 10_000 - SLIP_BPS if leg.stored > 0 else 10_000 + SLIP_BPS
    return ReducePerp(
        amount=Amount(token=leg.amount.token, units=units),
        size_usd=units * leg.price_base // WAD,
        worst_price=leg.price_base * worse // 10_000 // WAD,
        fee_wei=0,
    )


def act(stage: Stage, step: Step, position: Position) -> None:
    """The keeper's own transaction, which its venue would take. Raises AssertionError, Reverted."""
    venue: Venue = stage.reader.venue
    means = stage.reader.snapshot([position.id.account]).means
    refused = venue.can(step, position, means)
    assert refused is None, refused
    promised = venue.after((step,), position).health_wad or 0
    call = venue.encode(step, position)
    stage.chain.send(stage.keeper, call.target, call.data)
    if isinstance(step, ReducePerp):
        stage.settle(position.id.account)
    now = stage.reader.position(position.id.account).health_wad or 0
    # funding runs until the step is mined, and until an order is settled
    least = promised - promised // (2_000 if isinstance(step, ReducePerp) else 1_000_000)
    assert now >= least, (now, promised)


def protect(stage: Stage, account: str, lines: Lines, how: str, told: list[str]) -> None:
    """One look at one account: reduce early, or add margin at the trigger."""
    position = stage.reader.position(account)
    health = position.health_wad or 0
    if how == "reduce" and health < wad_from(lines.reduce_below):
        found = size_to_close(stage, account, lines)
        assert isinstance(found, Proposal), found
        act(stage, found.steps[0], position)
        told.append(found.why)
    if how == "add" and health < wad_from(lines.add_below):
        proposal = margin_to_add(stage, account, lines)
        assert isinstance(proposal, Proposal), proposal
        act(stage, proposal.steps[0], position)
        told.append(proposal.why)


def run(stage: Stage, accounts: tuple[str, str, str], lines: Lines, factors: Sequence[float]) -> Story:
    """(given margin, reduced, left alone) through the prices; the engine may take any of them after each."""
    added, reduced, twin = accounts
    story = Story(liquidated={}, acted={a: [] for a in accounts})
    for n, factor in enumerate(factors):
        stage.move(factor)
        for account, how in ((added, "add"), (reduced, "reduce")):
            if account not in story.liquidated:
                protect(stage, account, lines, how, story.acted[account])
        for account in (twin, added, reduced):
            if account not in story.liquidated and stage.liquidate(account):
                story.liquidated[account] = n
    return story


def tried(send: Callable[[], object], healthy: str) -> bool:
    """Whether a liquidation went through; False where the engine says that the account is healthy."""
    try:
        send()
    except Reverted as refused:
        if refused.name != healthy:
            raise
        return False
    return True

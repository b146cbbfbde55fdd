"""What came of a played story: a table for people, JSON, and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from anvil.figures import record
from keeper.cli import table
from keeper.config import load
from keeper.journal.read import Reader
from keeper.model import Amount, Entry, Intent, IntentState
from keeper.phrases import amount_text, health_text

WAD = 10**18
DONE = frozenset({IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL, IntentState.DRY})
FIGURES_OF, PERPS_OF = "crash", "perp"
"""The stories whose outcomes are kept as figures: their names would mean something else in another one."""
SECONDS_MAX = 60
"""For a demo that finds everything set up and compiled."""


class Twins(Protocol):
    """A guarded position and its unprotected twin."""

    @property
    def label(self) -> str:
        """Of the guarded one, as configured."""
        ...

    @property
    def guarded(self) -> str:
        """Its account."""
        ...

    @property
    def twin(self) -> str:
        """The other account."""
        ...


class Loss(Protocol):
    """One liquidation."""

    @property
    def user(self) -> str:
        """Whose position it took."""
        ...

    @property
    def loss_usd8(self) -> int:
        """What being liquidated cost, beyond what the price did."""
        ...


class Told(Protocol):
    """A story's stage, as far as a report asks it."""

    @property
    def config(self) -> Path:
        """The keeper's configuration."""
        ...

    @property
    def pairs(self) -> Sequence[Twins]:
        """Every guarded position with its twin."""
        ...

    @property
    def story(self) -> Story:
        """What is told."""
        ...

    def eth_usd(self, block_number: int) -> float:
        """What the chain's own coin cost at a block."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a story is called, and what its outcome stands on."""

    name: str
    title: str
    seconds_per_block: float
    evidence: str
    """``real_bytecode`` or ``own_double``."""
    twins: str
    """What the losses of twins count, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What happened, block by block."""

    dry_run: bool
    health: Mapping[str, tuple[int, ...]]
    """Guarded account -> health as the keeper saw it (shadows in dry-run)."""
    liquidations: tuple[Loss, ...]
    transactions: int
    """Sent by the keeper's wallet."""
    first_block: int
    last_block: int
    slowest_s: float
    """The longest time from a mined block to the daemon being idle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One action of the keeper."""

    block_number: int
    steps: tuple[tuple[str, Amount], ...]
    """(verb, amount)."""
    gas_used: int
    gas_usd: float
    """Of the receipt, and what was paid for the execution of an order; in a dry-run the decision's estimate."""
    idle_usd: float | None = None
    """What the capital put in would have earned elsewhere, as it was decided; None when not journaled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One guarded position beside its twin."""

    label: str
    start_wad: int
    lowest_wad: int
    end_wad: int
    target_wad: int
    done: tuple[Done, ...]
    liquidated: bool
    twin_lost_usd: float
    """Beyond what the price did (``Story.twins``); 0 when it was not liquidated."""
    twin_liquidated: int
    """How often."""

    @property
    def kept(self) -> bool:
        """Never liquidated, and at the end at target or above."""
        return not self.liquidated and self.end_wad >= self.target_wad


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole story."""

    story: Story
    dry_run: bool
    lines: tuple[Line, ...]
    transactions: int
    blocks: int
    slowest_s: float
    """The longest time from a mined block to the daemon being idle."""
    largest_step: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Every position kept, every twin lost, never slower than a block, and a dry-run sent nothing."""
        sent_nothing = not self.dry_run or self.transactions == 0
        in_time = self.slowest_s <= self.story.seconds_per_block
        return sent_nothing and in_time and all(x.kept and x.twin_liquidated for x in self.lines)


def build(on: Told, played: Played) -> Report:
    """The report of one story, from the keeper's own journal and the pool."""
    settings = load(on.config)
    policies = {p.label: settings.policy(p.policy) for p in settings.positions}
    with Reader.open(settings.journal_path) as journal:
        intents = journal.intents(limit=10_000)
        wishes = proposals(journal.entries(kind="decision", limit=100_000))
        outcomes = {e.subject: dict(e.data) for e in journal.entries(kind="outcome", limit=10_000)}
    lines = tuple(
        _line(pair, played, policies[pair.label].target_wad, _done(pair, intents, outcomes, wishes, on))
        for pair in on.pairs
    )
    return Report(
        story=on.story,
        dry_run=played.dry_run,
        lines=lines,
        transactions=played.transactions,
        blocks=played.last_block - played.first_block,
        slowest_s=played.slowest_s,
    )


def _line(pair: Twins, played: Played, target_wad: int, done: tuple[Done, ...]) -> Line:
    path = played.health[pair.guarded]
    mine = [x for x in played.liquidations if x.user == pair.guarded]
    twins = [x for x in played.liquidations if x.user == pair.twin]
    return Line(
        label=pair.label,
        start_wad=path[0],
        lowest_wad=min(path),
        end_wad=path[-1],
        target_wad=target_wad,
        done=done,
        # in a dry-run nobody guards the real account: its shadow is what is judged
        liquidated=(bool(mine) and not played.dry_run) or min(path) < WAD,
        twin_lost_usd=sum(x.loss_usd8 for x in twins) / 1e8,
        twin_liquidated=len(twins),
    )


Wishes = Mapping[tuple[str, int, str], Mapping[str, object]]
"""(position, block, strategy) -> the proposal as it was journaled."""


def proposals(decisions: Sequence[Entry]) -> Wishes:
    """Every chosen proposal of the journal's decisions."""
    found: dict[tuple[str, int, str], Mapping[str, object]] = {}
    for entry in decisions:
        chosen = entry.data.get("chosen")
        for one in chosen if isinstance(chosen, list) else ():
            found[entry.subject, entry.block_number, str(one["strategy"])] = one
    return found


def _done(
    pair: Twins,
    intents: Sequence[Intent],
    outcomes: Mapping[str, Mapping[str, object]],
    wishes: Wishes,
    on: Told,
) -> tuple[Done, ...]:
    found = []
    for intent in sorted(intents, key=lambda i: i.key.seq):
        if intent.key.position.account != pair.guarded or intent.state not in DONE:
            continue
        outcome = outcomes.get(str(intent.key), {})
        gas_used, price_wei = int(str(outcome.get("gas_used", 0))), int(str(outcome.get("gas_price_wei", 0)))
        block_number = int(str(outcome.get("block_number", intent.plan.block.number)))
        eth_usd = on.eth_usd(block_number)
        plan = intent.plan
        wish = wishes.get((str(intent.key.position), plan.block.number, plan.strategy))
        gas_usd = (gas_used * price_wei + plan.call.value_wei) / 1e18 * eth_usd
        if wish is not None and intent.state is IntentState.DRY:
            gas_usd = float(str(wish["gas_usd"]))
        found.append(
            Done(
                block_number=block_number,
                steps=tuple((type(s).__name__.lower(), s.amount) for s in intent.plan.steps),
                gas_used=gas_used,
                gas_usd=gas_usd,
                idle_usd=None if wish is None else float(str(wish["idle_usd"])),
            )
        )
    return tuple(found)


def keep(report: Report, spent: Sequence[tuple[str, float]]) -> None:
    """Write what a live story showed into build/figures.json; nothing of a dry-run or of a story of one's own."""
    if report.dry_run or report.story.name not in (FIGURES_OF, PERPS_OF):
        return
    n, kept = len(report.lines), sum(x.kept for x in report.lines)
    if report.story.name == PERPS_OF:
        dead = sum(x.twin_liquidated > 0 for x in report.lines)
        for name, count in (("perp_saved", kept), ("perp_twins_liquidated", dead)):
            record(
                name,
                count,
                unit="positions",
                bound=f"= {n}",
                holds=count == n,
                evidence=report.story.evidence,
                n=n,
            )
        return
    seconds = round(sum(s for _, s in spent), 1)
    record(
        "demo_kept",
        kept,
        unit="positions",
        bound=f"= {n}",
        holds=report.ok,
        evidence=report.story.evidence,
        n=n,
    )
    record("demo_s", seconds, unit="s", bound=f"<= {SECONDS_MAX}", holds=seconds <= SECONDS_MAX)
    for label, step in report.largest_step.items():
        name = "_".join("".join(c if c.isalnum() else " " for c in label).split())
        record(
            f"demo_largest_step_pct_{name}",
            round(100 * step, 1),
            unit="% fall in one oracle update survived, from the start",
            evidence=report.story.evidence,
        )


def show(report: Report, spent: Sequence[tuple[str, float]], *, json_out: bool) -> None:
    """Print it on stdout."""
    if json_out:
        print(table.document(_plain(report, spent)))
        return
    print(f"{report.story.title}: {report.blocks} blocks" + (", dry-run" if report.dry_run else ""))
    whole = all(d.idle_usd is not None for x in report.lines for d in x.done)
    cost = "cost $ (gas + idle)" if whole else "gas $"
    headers = ("position", "start", "lowest", "end", "what the keeper did", "gas", cost, "its twin")
    table.show(headers, [_row(x, whole=whole) for x in report.lines])
    print(report.story.twins)
    print(
        f"slowest reaction: {report.slowest_s:.2f} s of the {report.story.seconds_per_block:g} s that a block lasts"
    )
    for label, step in report.largest_step.items():
        print(
            f"{label}: would have survived its collateral falling {step:.1%} in one oracle step, from the start"
        )
    verdict = "kept: none liquidated, health at target or above" if report.ok else "NOT KEPT"
    sent = f"{report.transactions} transactions sent"
    print(f"{verdict}; {sent}; time: " + ", ".join(f"{name} {s:.1f} s" for name, s in spent))


def _row(x: Line, *, whole: bool) -> tuple[str, ...]:
    twin = (
        f"liquidated {x.twin_liquidated}x, lost ${x.twin_lost_usd:,.2f}" if x.twin_liquidated else "survived"
    )
    gas_used, gas_usd = sum(d.gas_used for d in x.done), sum(d.gas_usd for d in x.done)
    idle_usd = sum(d.idle_usd or 0.0 for d in x.done) if whole else 0.0
    return (
        x.label + ("" if x.kept else " (NOT KEPT)"),
        health_text(x.start_wad),
        health_text(x.lowest_wad),
        health_text(x.end_wad),
        _together(x.done),
        f"{gas_used:,}" if gas_used else "-",
        f"{gas_usd + idle_usd:.2f}" if x.done else "-",
        twin,
    )


def _together(done: Sequence[Done]) -> str:
    """``repay 5x, 3,925.60 USDC``: how often each thing was done, and how much in all."""
    sums: dict[tuple[str, str], list[Amount]] = {}
    for d in done:
        for verb, amount in d.steps:
            sums.setdefault((verb, amount.token.symbol), []).append(amount)
    parts = [
        f"{verb} {len(amounts)}x, {amount_text(sum(amounts[1:], amounts[0]))}"
        for (verb, _), amounts in sums.items()
    ]
    return "\n".join(parts) or "nothing"


def _plain(report: Report, spent: Sequence[tuple[str, float]]) -> dict[str, object]:
    return {
        "scenario": report.story.name,
        "evidence": report.story.evidence,
        "dry_run": report.dry_run,
        "ok": report.ok,
        "blocks": report.blocks,
        "transactions": report.transactions,
        "positions": [
            {
                "label": x.label,
                "health_start_wad": str(x.start_wad),
                "health_lowest_wad": str(x.lowest_wad),
                "health_end_wad": str(x.end_wad),
                "target_wad": str(x.target_wad),
                "liquidated": x.liquidated,
                "done": [
                    {
                        "block": d.block_number,
                        "steps": [
                            {"do": verb, "token": a.token.symbol, "units": str(a.units)}
                            for verb, a in d.steps
                        ],
                        "gas_used": d.gas_used,
                        "gas_usd": d.gas_usd,
                        "idle_usd": d.idle_usd,
                    }
                    for d in x.done
                ],
                "twin": {"liquidations": x.twin_liquidated, "lost_usd": x.twin_lost_usd},
                "largest_step": report.largest_step.get(x.label),
            }
            for x in report.lines
        ],
        "slowest_reaction_s": report.slowest_s,
        "seconds_per_block": report.story.seconds_per_block,
        "seconds": dict(spent),
    }

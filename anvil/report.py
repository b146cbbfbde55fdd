"""What came of a played story, as a table for people or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from anvil.liquidator import Liquidation
from anvil.scenario import Pair
from anvil.stage import Stage
from keeper.cli import table
from keeper.config import load
from keeper.journal.read import Reader
from keeper.model import Amount, Intent, IntentState
from keeper.phrases import amount_text, health_text

WAD = 10**18
DONE = frozenset({IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL, IntentState.DRY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What happened, block by block."""

    dry_run: bool
    health: Mapping[str, tuple[int, ...]]
    """Account -> health: guarded as the keeper saw it (shadows in dry-run), twins as the pool has it."""
    liquidations: tuple[Liquidation, ...]
    transactions: int
    """Sent by the keeper's wallet."""
    first_block: int
    last_block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One action of the keeper."""

    block_number: int
    steps: tuple[tuple[str, Amount], ...]
    """(verb, amount)."""
    gas_used: int
    gas_usd: float


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
    """Bonus and protocol fee at the oracle's price; 0 when it was not liquidated."""
    twin_liquidated: int
    """How often."""

    @property
    def kept(self) -> bool:
        """Never liquidated, and at the end not below the line at which the keeper acts."""
        return not self.liquidated and self.end_wad >= self.target_wad


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole story."""

    scenario: str
    title: str
    dry_run: bool
    lines: tuple[Line, ...]
    transactions: int
    blocks: int
    largest_step: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Every position kept, every twin lost, and a dry-run sent nothing."""
        sent_nothing = not self.dry_run or self.transactions == 0
        return sent_nothing and all(x.kept and x.twin_liquidated for x in self.lines)


def build(on: Stage, played: Played) -> Report:
    """The report of one story, from the keeper's own journal and the pool."""
    settings = load(on.config)
    policies = {p.label: settings.policy(p.policy) for p in settings.positions}
    with Reader.open(settings.journal_path) as journal:
        intents = journal.intents(limit=10_000)
        outcomes = {e.subject: dict(e.data) for e in journal.entries(kind="outcome", limit=10_000)}
    lines = tuple(
        _line(pair, played, policies[pair.label].target_wad, _done(pair, intents, outcomes, on))
        for pair in on.pairs
    )
    return Report(
        scenario=on.scenario.name,
        title=on.scenario.title,
        dry_run=played.dry_run,
        lines=lines,
        transactions=played.transactions,
        blocks=played.last_block - played.first_block,
    )


def _line(pair: Pair, played: Played, target_wad: int, done: tuple[Done, ...]) -> Line:
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


def _done(
    pair: Pair, intents: Sequence[Intent], outcomes: Mapping[str, Mapping[str, object]], on: Stage
) -> tuple[Done, ...]:
    found = []
    for intent in sorted(intents, key=lambda i: i.key.seq):
        if intent.key.position.account != pair.guarded or intent.state not in DONE:
            continue
        outcome = outcomes.get(str(intent.key), {})
        gas_used, price_wei = int(str(outcome.get("gas_used", 0))), int(str(outcome.get("gas_price_wei", 0)))
        block_number = int(str(outcome.get("block_number", intent.plan.block.number)))
        eth_usd = on.actors.price_usd8("WETH", block=block_number) / 1e8
        found.append(
            Done(
                block_number=block_number,
                steps=tuple((type(s).__name__.lower(), s.amount) for s in intent.plan.steps),
                gas_used=gas_used,
                gas_usd=gas_used * price_wei / 1e18 * eth_usd,
            )
        )
    return tuple(found)


def show(report: Report, spent: Sequence[tuple[str, float]], *, json_out: bool) -> None:
    """Print it on stdout."""
    if json_out:
        print(table.document(_plain(report, spent)))
        return
    print(f"{report.title}: {report.blocks} blocks" + (", dry-run" if report.dry_run else ""))
    headers = ("position", "start", "lowest", "end", "what the keeper did", "gas", "gas $", "its twin")
    table.show(headers, [_row(x) for x in report.lines])
    for label, step in report.largest_step.items():
        print(f"{label}: would have survived a single oracle step of -{step:.1%} from the start")
    verdict = "kept: none liquidated, health at target or above" if report.ok else "NOT KEPT"
    sent = f"{report.transactions} transactions sent"
    print(f"{verdict}; {sent}; time: " + ", ".join(f"{name} {s:.1f} s" for name, s in spent))


def _row(x: Line) -> tuple[str, ...]:
    twin = (
        f"liquidated {x.twin_liquidated}x, lost ${x.twin_lost_usd:,.2f}" if x.twin_liquidated else "survived"
    )
    gas_used, gas_usd = sum(d.gas_used for d in x.done), sum(d.gas_usd for d in x.done)
    return (
        x.label + ("" if x.kept else " (NOT KEPT)"),
        health_text(x.start_wad),
        health_text(x.lowest_wad),
        health_text(x.end_wad),
        _together(x.done),
        f"{gas_used:,}" if gas_used else "-",
        f"{gas_usd:.2f}" if gas_used else "-",
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
        "scenario": report.scenario,
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
                    }
                    for d in x.done
                ],
                "twin": {"liquidations": x.twin_liquidated, "lost_usd": x.twin_lost_usd},
                "largest_step": report.largest_step.get(x.label),
            }
            for x in report.lines
        ],
        "seconds": dict(spent),
    }

"""What came of a drill: both runs beside each other, as a table, as JSON, and whether it was passed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from anvil.drill.play import Moment, Run

HEADERS = ("", "liquidated", "lost USD", "cost USD", "transactions", "lowest health", "health at the end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Both runs of one course, and on what they stand."""

    account: str
    venue: str
    shock: str
    driver: str
    """What the shock moves most of the position's assets."""
    rises: bool
    """Whether that goes up (a debt that becomes dearer)."""
    alone: Run
    guarded: Run
    largest_step: float
    """The largest single update survived, a share."""
    largest_update: float
    """The largest of the course."""
    gas: int
    gas_gwei: float
    thin: int
    pools: int
    block: int
    told: tuple[str, ...]
    """What was made up for the owner, in words."""
    position: str
    label: str
    digest: str | None
    """Of the user's configuration; None where the drill proposed one."""
    stated_gap: float | None = None
    """What the user demands of the largest single update."""

    @property
    def passed(self) -> bool:
        """Nobody liquidated the guarded position, and it survives a single update as large as demanded."""
        return not self.guarded.liquidations and self.wide_enough

    @property
    def wide_enough(self) -> bool:
        """Whether the largest single update survived is as large as demanded."""
        return self.stated_gap is None or self.moved(self.largest_step) >= self.stated_gap - 1e-9

    @property
    def saved_usd(self) -> float:
        """What the fall took without a keeper, less what it took with one, its cost included."""
        return self.alone.lost_usd - self.guarded.lost_usd - self.guarded.cost_usd

    def moved(self, share: float) -> float:
        """A step as its price moves: a rise is measured by the factor of the fall that turns it over, and 0.2 of
        that is +25 %."""
        return share / (1.0 - share) if self.rises else share

    def step_text(self) -> str:
        """The largest single update in words."""
        return f"{self.driver} {'+' if self.rises else '-'}{self.moved(self.largest_step):.1%}"


def rows(found: Outcome) -> list[tuple[str, ...]]:
    """The table."""
    return [_row("without a keeper", found.alone), _row("with the keeper", found.guarded)]


def said(found: Outcome) -> list[str]:
    """What the table does not hold."""
    lines = list(found.told)
    lines.append(
        f"fork at block {found.block}, gas x{found.gas} ({found.gas_gwei:.0f} gwei), {found.pools} Uniswap pools "
        f"with 1/{found.thin} of their liquidity, the preferred endpoint dead"
    )
    lines.append(
        f"largest single update survived from the start: {found.step_text()}; the largest of this course is "
        f"{found.moved(found.largest_update):.1%}"
    )
    if found.alone.liquidations:
        lines.append(f"saved: {found.saved_usd:,.2f} USD, the keeper's own cost deducted")
    else:
        lines.append("without a keeper nobody was liquidated either: the shock is too mild to prove much")
    return [*lines, _verdict(found)]


def document(found: Outcome) -> dict[str, object]:
    """The drill as JSON."""
    return {
        "account": found.account,
        "position": found.position,
        "venue": found.venue,
        "shock": found.shock,
        "block": found.block,
        "passed": found.passed,
        "saved_usd": found.saved_usd,
        "largest_step": found.largest_step,
        "largest_step_of": found.driver,
        "largest_step_rises": found.rises,
        "largest_update": found.largest_update,
        "stated_gap": found.stated_gap,
        "gas_multiple": found.gas,
        "gas_gwei": found.gas_gwei,
        "pools_thinned": found.pools,
        "thinned_by": found.thin,
        "made_of": list(found.told),
        "without_keeper": _run(found.alone),
        "with_keeper": _run(found.guarded),
    }


def _verdict(found: Outcome) -> str:
    if found.guarded.liquidations:
        why = "an update of this course is larger than any that it survives"
        if found.largest_update <= found.largest_step:
            most = found.moved(found.largest_step)
            why = f"though no update is larger than the {most:.1%} that it survives at once"
        return f"NOT PASSED: liquidated {found.guarded.liquidations}x with the keeper ({why})"
    if not found.wide_enough:
        survived = found.moved(found.largest_step)
        return f"NOT PASSED: a single update of {found.stated_gap:.1%} is demanded, {survived:.1%} survived"
    return "passed: not liquidated with the keeper"


def _row(name: str, run: Run) -> tuple[str, ...]:
    return (
        name,
        f"{run.liquidations}x" if run.liquidations else "no",
        f"{run.lost_usd:,.2f}",
        f"{run.cost_usd:,.2f}",
        str(run.sent),
        health_text(run.lowest),
        health_text(run.moments[-1].health),
    )


def health_text(health: float) -> str:
    """Health for people."""
    return f"{health:.4f}" if math.isfinite(health) else "no debt"


def _run(run: Run) -> dict[str, object]:
    return {
        "liquidations": run.liquidations,
        "lost_usd": run.lost_usd,
        "cost_usd": run.cost_usd,
        "transactions": run.sent,
        "health_lowest": _number(run.lowest),
        "health_end": _number(run.moments[-1].health),
        "blocks": [
            {
                "block": m.block,
                "health": _number(m.health),
                "equity_usd": m.equity_usd,
                "liquidated": liquidated,
                "transactions": sent,
            }
            for m, liquidated, sent in marks(run)
        ],
    }


def marks(run: Run) -> Sequence[tuple[Moment, bool, int]]:
    """Every block looked at, whether a liquidation was mined in it, and how many of the keeper's transactions."""
    later = [pair for t in run.turns for pair in ((t.update, False, 0), (t.after, t.liquidated, t.sent))]
    return [(run.start, False, 0), *later]


def _number(x: float) -> float | None:
    return x if math.isfinite(x) else None

"""What ``keeper replay`` shows: the table, the lines under it, and the JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.cli import subject
from keeper.replay import compare, frontier, levels, seizure
from keeper.replay.bars import Bars, iso
from keeper.replay.compare import Row
from keeper.replay.fleet import Fleet
from keeper.replay.market import Market
from keeper.replay.paths import Paths
from keeper.replay.rescue import Score
from keeper.replay.run import Voyage

LISTED_MAX = 12
"""Notes and accounts named under the table; the JSON holds all."""

HEADERS = (
    "keeper",
    "liquidated",
    "lost USD",
    "acts",
    "cost USD",
    "gas USD",
    "refused",
    "lowest",
    "all in USD",
)

FIXED = (
    "what a keeper orders is fixed at what it saw, and judged where it lands by what its contracts check there; what "
    "they refuse is counted as refused, with its gas (docs/reference/replay.md)"
)


def coarse(moved: Paths, shop: Market) -> list[str]:
    """A note where a moment is longer than any delay of the market."""
    longest_s = max(shop.weather.calm_delay_s, shop.weather.storm_delay_s)
    if moved.step_s <= longest_s:
        return []
    return [
        f"a moment is {moved.step_s:,.0f} s, so an act lands {moved.step_s:,.0f} s after what it saw instead of "
        f"{shop.weather.calm_delay_s:g} to {longest_s:g} s: who is liquidated depends on it; use finer bars"
    ]


def rules(crew: Fleet) -> list[str]:
    """By whose rule accounts are liquidated, where a file or configuration names their venues."""
    kinds = [a.venue for a in crew.accounts]
    lines = []
    for kind in sorted(set(kinds)):
        count = f"{kinds.count(kind)} of {len(kinds)} accounts stand on {kind}"
        if not seizure.known(kind):
            lines.append(
                f"{count}, whose rule is not known here, and are liquidated by Aave v3's (half of all debt; all "
                "of it below health 0.95 or 2,000 USD)"
            )
        elif kind in seizure.SAID:
            lines.append(f"{count} and are liquidated by its rule: {seizure.SAID[kind]}")
    return lines


def terms(crew: Fleet, shop: Market) -> list[str]:
    """Whose bonus liquidators take: the book's own where it states one, else the market's."""
    if not crew.worded:
        return []
    lots = [(seizure.WORDS.get(a.venue, "bonus"), a, x) for a in crew.accounts for x in a.collateral]
    own = {
        "liquidation_factor": [
            x.factor for w, _, x in lots if w == "liquidation_factor" and x.factor is not None
        ],
        "bonus": [x.bonus for w, _, x in lots if w == "bonus" and x.bonus is not None],
        "penalty": [a.penalty for w, a, _ in lots if w == "penalty" and a.penalty is not None],
    }
    lines = []
    for word, some in own.items():
        if some:
            ends = (
                f"{x:g}" if word == "liquidation_factor" else f"{100.0 * x:.4g} %"
                for x in (min(some), max(some))
            )
            span = " to ".join(dict.fromkeys(ends))
            lines.append(
                f"liquidated by the {word} that {crew.worded} states: {len(some)} of {len(lots)} ({span})"
            )
    by_bonus = [(w, x) for w, _, x in lots if w in ("bonus", "liquidation_factor") and x.bonus is None]
    rest = [x for w, x in by_bonus if w == "bonus" or x.factor is None]
    if rest:
        known = {x.asset: 100.0 * shop.bonus_of(x.asset) for x in rest}
        shown = ", ".join(f"{name} {bonus:.4g} %" for name, bonus in list(known.items())[:6])
        lines.append(
            f"{crew.worded} states no bonus of {len(rest)} collaterals: --bonus or its default is taken ({shown})"
        )
    for venue in dict.fromkeys(a.venue for w, a, x in lots if w == "threshold" and x.bonus is not None):
        lines.append(
            f"a bonus that is stated of a loan on {venue} is not used: its threshold gives the incentive"
        )
    return lines


def unlike(crew: Fleet) -> list[str]:
    """What of the accounts a chain does not play: it has one venue, and that one's own bonus."""
    kinds = [a.venue for a in crew.accounts]
    lines = [
        f"{kinds.count(kind)} of {len(kinds)} accounts stand on {kind}: on the chain they are liquidated by Aave "
        "v3.6's rule, whatever theirs is"
        for kind in sorted({*kinds} - {"", seizure.CHAINED})
    ]
    words = [
        word
        for word, some in (
            ("bonus", any(x.bonus is not None for a in crew.accounts for x in a.collateral)),
            ("liquidation_factor", any(x.factor is not None for a in crew.accounts for x in a.collateral)),
            ("penalty", any(a.penalty is not None for a in crew.accounts)),
        )
        if some
    ]
    if words:
        lines.append(
            f"the {' and '.join(words)} that {crew.worded} states is not used: on the chain, and on the paper beside "
            "it, liquidators take the bonus that its own Aave v3.6 has"
        )
    return lines


def stated(crew: Fleet) -> list[dict[str, object]]:
    """The terms that a book states, as JSON."""
    return [
        {
            "name": a.name,
            "asset": x.asset,
            "bonus": x.bonus,
            "liquidation_factor": x.factor,
            "penalty": a.penalty,
        }
        for a in crew.accounts
        for x in a.collateral
        if (x.bonus, x.factor, a.penalty) != (None, None, None)
    ]


def bad(voyages: Sequence[Voyage]) -> list[str]:
    """Debt that venues wrote off, by keeper."""
    told = ", ".join(f"{v.keeper} {v.bad_usd:,.0f}" for v in voyages if v.bad_usd > seizure.LEAST_BAD_USD)
    return [f"bad debt that venues wrote off, USD: {told}"] if told else []


def cells(row: Row) -> tuple[str, ...]:
    """One keeper's line of the table."""
    money = [f"{x:,.0f}" for x in (row.lost_usd, row.cost_usd, row.gas_usd, row.whole_usd)]
    return (
        row.keeper,
        str(row.liquidated),
        money[0],
        str(row.acts),
        money[1],
        money[2],
        str(row.failed),
        f"{row.lowest:.3f}",
        money[3],
    )


def said(bars: Bars, fleet: Fleet, paths: Paths, voyages: Sequence[Voyage]) -> list[str]:
    """What the table does not hold."""
    span = f"{iso(bars.times_s[0])} to {iso(bars.times_s[-1])} UTC, {len(bars.times_s)} bars of {bars.step_s:g} s"
    lines = [f"{len(fleet.accounts)} accounts, {span}, prices of {', '.join(bars.symbols)}"]
    lines += noted(paths)
    left = fleet.left_out[:3]
    lines += [f"left out: {name}: {why}" for name, why in left]
    if len(fleet.left_out) > len(left):
        lines.append(f"left out: and {len(fleet.left_out) - len(left)} more")
    for v in voyages:
        if v.keeper == "ours" and v.liquidated:
            lost = sorted((t for t in v.trips if t.liquidations), key=lambda t: -t.lost_usd)
            some = ", ".join(
                f"{subject.cut(t.name, subject.NAME_MAX)} ({t.lost_usd:,.0f} USD)" for t in lost[:4]
            )
            lines.append(f"ours left to liquidators: {some}{' and more' if len(lost) > 4 else ''}")
    return lines


def noted(paths: Paths) -> list[str]:
    """What is odd in what was read, or only taken to be so."""
    lines = [f"note: {n}" for n in paths.notes[:LISTED_MAX]]
    if len(paths.notes) > LISTED_MAX:
        lines.append(f"note: and {len(paths.notes) - LISTED_MAX} more; --json has them all")
    return lines


def document(
    bars: Bars, fleet: Fleet, paths: Paths, voyages: Sequence[Voyage], held: Mapping[str, str]
) -> dict[str, object]:
    """The replay as JSON; ``held``: the configuration's policy by position, where one holds it."""
    return {
        "prices": str(bars.path),
        "from_s": float(bars.times_s[0]),
        "to_s": float(bars.times_s[-1]),
        "bars": len(bars.times_s),
        "accounts": len(fleet.accounts),
        "left_out": [{"name": n, "why": w} for n, w in fleet.left_out],
        "notes": list(paths.notes),
        "keepers": [
            {
                "keeper": r.keeper,
                "liquidated": r.liquidated,
                "lost_usd": r.lost_usd,
                "acts": r.acts,
                "cost_usd": r.cost_usd,
                "gas_usd": r.gas_usd,
                "refused": r.failed,
                "lowest": subject.number(r.lowest),
                "equity_usd": r.equity_usd,
                "accounts": [
                    {
                        "name": t.name,
                        "policy": held.get(t.name) if r.keeper in compare.NAMES else r.keeper,
                        "health_start": subject.number(t.start),
                        "health_lowest": subject.number(t.lowest),
                        "health_end": subject.number(t.end),
                        "gap": subject.number(t.gap),
                        "lost_usd": t.lost_usd,
                        "cost_usd": t.cost_usd + t.gas_usd,
                        "events": [
                            {
                                "time_s": e.time_s,
                                "what": e.what,
                                "health_before": subject.number(e.health_before),
                                "health_after": subject.number(e.health_after),
                                "usd": e.usd,
                                "cost_usd": e.cost_usd,
                                "why": e.why,
                            }
                            for e in t.events
                        ],
                    }
                    for t in v.trips
                ],
            }
            for r, v in ((compare.row(v), v) for v in voyages)
        ],
    }


def equities(rows: Sequence[Row]) -> list[str]:
    """What is left to the owners at the end, at the feeds' prices, what they paid from their wallets in it."""
    told = ", ".join(f"{r.keeper} {r.equity_usd:,.0f}" for r in rows)
    return [f"equity at the end, USD: {told}"] if rows else []


def margins(voyages: Sequence[Voyage]) -> dict[str, float | None]:
    """Each keeper's tail margin over the accounts at risk; empty where nobody's was not in the run, or none is."""
    idle = next((v for v in voyages if v.keeper == "nobody"), None)
    risk = frontier.at_risk(idle) if idle is not None else frozenset[str]()
    if not risk:
        return {}
    return {v.keeper: subject.number(frontier.point(v, (0.0, 0.0), risk).gap) for v in voyages}


def margins_said(found: Mapping[str, float | None]) -> list[str]:
    """The margins as a line: what two keepers cost compares only where these are alike."""
    told = ", ".join(f"{name}: {100.0 * gap:.1f} %" for name, gap in found.items() if gap is not None)
    if not told:
        return []
    return [
        "further fall in one update that 95 % of the accounts at risk survive at their worst moment: "
        f"{told}; whose is smaller gave less for its cost (--sweep shows settings by both)"
    ]


def unlimited(rows: Sequence[Row], *, named: bool) -> list[str]:
    """That no limit bound ours, where it paid more than liquidators would have taken; ``named``: by --policy."""
    paid = {r.keeper: r.whole_usd for r in rows}
    if named or "nobody" not in paid or paid.get("ours", 0.0) <= paid["nobody"]:
        return []
    return [
        "limits do not bind here, and ours paid more than being liquidated would have cost: --policy NAME replays a "
        "configuration with its own (gas_usd_max, gas_usd_emergency, gas_loss_pct)"
    ]


def judgement(found: Score | None, rule: levels.Rule) -> list[str]:
    """Who was rescuable, and how ours did by that rule, held to those policies; what helps where its sales failed."""
    if found is None:
        return []
    excluded = "; ".join(f"{n} {why}" for why, n in found.excluded)
    lines = [
        f"{found.crossing} fall below 1 with nobody acting, {found.rescuable} of them rescuable by one sale at the "
        f"last update above 1{' (not counted: ' + excluded + ')' if excluded else ''}; ours left "
        f"{len(found.liquidated)} of those ({found.failures} after failed acts, {found.gaps} for levels too low)"
    ]
    lines.append(f"a clairvoyant pays at least {found.bound_usd:,.0f} USD; ours {found.regret_usd:,.0f} more")
    held = [levels.guarding(rule, name) for name in found.liquidated] if found.failures else []
    if any(p is not None and not p.lead_bps and "deleverage" in p.strategies for p in held):
        lines.append(
            "ours sold without a lead, and a sale sized for exactly what it saw is undone by a further fall: "
            "lead_pct in the policy sizes it for prices that much worse, and --own-levels has one "
            "(docs/reference/replay.md)"
        )
    return lines


def rule(found: Score | None) -> dict[str, object] | None:
    """The same as JSON."""
    if found is None:
        return None
    return {
        "crossing": found.crossing,
        "rescuable": found.rescuable,
        "excluded": [{"why": why, "count": n} for why, n in found.excluded],
        "liquidated": list(found.liquidated),
        "failures": found.failures,
        "gaps": found.gaps,
        "bound_usd": found.bound_usd,
        "regret_usd": found.regret_usd,
    }

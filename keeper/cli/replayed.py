"""What ``keeper replay`` does: options into a history and a fleet, keepers over them, and what is shown of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from keeper.cli import (
    progress,
    replay_crew,
    replay_figure,
    replay_guards,
    replay_market,
    replay_perps,
    replaying,
    subject,
    table,
)
from keeper.cli.endings import say, usage
from keeper.cli.replay import KEEPERS
from keeper.decision.tighten import wants_warning
from keeper.errors import ConfigError
from keeper.replay import (
    bars,
    beside,
    compare,
    fleet,
    keep,
    levels,
    market,
    omens,
    paths,
    rescue,
    together,
)
from keeper.replay import run as sea
from keeper.replay.vessel import Vessel
from keeper.risk.assets import asset
from keeper.units import wad_float

if TYPE_CHECKING:
    from keeper.cli.replay import Asked
    from keeper.model import Policy
    from keeper.replay.perps import PerpAccount

FEEDS: Mapping[str, Mapping[str, paths.Feed]] = {
    "chainlink": {},
    "every": {"*": paths.EVERY},
    "osm": {"*": paths.OSM},
}
SHOWN_MAX = 6
"""Accounts drawn in the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that is replayed; without ``policy`` each account has its own levels."""

    read: bars.Bars
    crew: fleet.Fleet
    moved: paths.Paths
    shop: market.Market
    policy: levels.Rule
    perps: tuple[PerpAccount, ...] = ()
    other: Policy | None = None
    """Of ``--beside``."""
    wallet: Mapping[str, float] = field(default_factory=dict)
    """Tokens beside each account, by asset."""

    def levels(self, account: fleet.Account) -> tuple[float, float]:
        """(trigger, target) of an account."""
        policy = levels.held(self.policy, account)
        return wad_float(policy.trigger_wad), wad_float(policy.target_wad)


def run(asked: Asked) -> int:
    """The exit code."""
    from keeper.cli import kernels

    names = chosen("--keepers", asked.keepers, compare.NAMES)
    _refuse_unswept(asked)
    policy, other = replay_guards.one(asked), replay_figure.beside(asked)
    crew, bets = replay_crew.of(asked)
    kernels.prepare()
    scene = _scene(asked, crew, (crew.policies or policy, other), bets)
    if asked.sweep:
        from keeper.cli import replay_sweep

        return replay_sweep.run(asked, scene, names)
    if asked.chain:
        from keeper.cli import replay_chain

        return replay_chain.run(asked, scene)
    return _compared(asked, scene, names)


def _compared(asked: Asked, scene: Scene, names: Sequence[str]) -> int:
    """Every keeper over the whole history."""
    made, held = makes(scene, names), replay_guards.names(asked, scene)
    bets, told = replay_perps.sailed(asked, scene, names)
    made = made if scene.crew.accounts else {}
    with ExitStack() as stack:
        total = len(made) * len(scene.crew.accounts)
        advance = stack.enter_context(progress.bar(total, "replay"))
        kept = keep.Kept(asked.keep, _digest(asked, scene)) if asked.keep is not None else None
        if kept is not None:
            stack.callback(kept.close)
        sailed = [
            sea.voyage(scene.crew, scene.moved, make, scene.shop, keep.Page(kept, name, advance))
            for name, make in made.items()
        ]
    judged, gaps = _judged(scene, sailed), replaying.margins(sailed)
    sailed = replay_perps.joined(sailed, bets)
    rows = [compare.row(v) for v in sailed]
    lines = replaying.said(scene.read, scene.crew, scene.moved, sailed)
    lines += [f"interest {asked.interest}, {replay_market.said(scene.shop)}, feeds {asked.feed}"]
    lines += [*replaying.judgement(judged, scene.policy), *replaying.margins_said(gaps)]
    lines += [*replaying.equities(rows), *replaying.bad(sailed)]
    lines += [*replaying.unlimited(rows, named=bool(held)), *told, replaying.FIXED]
    if asked.json:
        body = replaying.document(scene.read, scene.crew, scene.moved, sailed, held)
        body["policies"] = replay_guards.counted(held)
        body["market"] = {**replay_market.document(scene.shop), "stated": replaying.stated(scene.crew)}
        body["perps"] = {"positions": len(scene.perps), "said": told}
        body["margins"] = gaps
        print(table.document({**body, "seed": asked.seed, "rule": replaying.rule(judged)}))
    else:
        table.show(replaying.HEADERS, [replaying.cells(r) for r in rows])
        for line in lines:
            subject.say(line)
    if asked.report is not None:
        _report(asked.report, scene, (names, held), (rows, lines))
    if asked.figure is not None:
        write(asked.figure, replay_figure.figure(scene, sailed, held), "figure")
    return int(any(r.liquidated for r in rows if r.keeper == "ours"))


def makes(scene: Scene, names: Sequence[str]) -> Mapping[str, sea.Make]:
    """Every keeper of the run by name, in the order in which they are shown: ``--beside`` before ours."""
    made = dict(compare.makes(names, scene.policy, scene.crew.assets, scene.shop, scene.wallet))
    if scene.other is not None:
        ours = made.pop("ours", None)
        made[scene.other.name] = compare.under(scene.other, scene.crew.assets, scene.shop, scene.wallet)
        made |= {"ours": ours} if ours is not None else {}
    return made


def _judged(scene: Scene, sailed: Sequence[sea.Voyage]) -> rescue.Score | None:
    """Ours by the rule of ``rescue``, where nobody's keeper was in the run too."""
    by = {v.keeper: v for v in sailed}
    if not sailed or "nobody" not in by or "ours" not in by:
        return None
    found = rescue.rescues(scene.crew, scene.moved, scene.shop, lambda a: scene.levels(a)[1], by["nobody"])
    return rescue.score(found, by["ours"])


def _report(
    path: Path,
    scene: Scene,
    by: tuple[Sequence[str], Mapping[str, str]],
    told: tuple[Sequence[compare.Row], Sequence[str]],
) -> None:
    """The page, with the accounts that lost most with nobody acting; their trips are made once more. ``by``: the
    keepers, and the policy of each position."""
    from keeper.replay.page import Shown, Story, page

    names, held = by
    made = makes(scene, names)
    usd = sea.unit_usd(scene.crew, scene.moved, scene.shop)
    worst = replay_figure.worst(scene)[:SHOWN_MAX]
    shown = tuple(
        Shown(
            name=a.name,
            trigger=scene.levels(a)[0],
            policy=held.get(a.name, ""),
            trips=tuple(_trip(Vessel(a, scene.moved, usd), make, scene.shop) for make in made.values()),
        )
        for a in worst
    )
    story = Story(
        title=f"Replay of {', '.join(scene.read.symbols)}",
        said=tuple(told[1]),
        rows=tuple(told[0]),
        paths=scene.moved,
        shown=shown,
        assets=drawn(scene.moved),
        notes=scene.moved.notes,
    )
    write(path, page(story))


def drawn(moved: paths.Paths) -> tuple[str, ...]:
    """One asset for each price that moves."""
    rows = {moved.row_of(a): a for a in reversed(moved.assets) if a not in moved.held}
    return tuple(a for a in moved.assets if a in rows.values())


def _trip(vessel: Vessel, make: sea.Make, shop: market.Market) -> sea.Trip:
    return sea.trip(vessel, make(vessel), shop)


def write(path: Path, text: str, what: str = "report") -> None:
    """The page on disk. ConfigError."""
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError((f"{path}: cannot be written: {error.strerror}",)) from error
    say(f"{what}: {path}")


def chosen(option: str, text: str, known: Sequence[str]) -> list[str]:
    """The names in ``text``, each known."""
    found = [x.strip() for x in text.split(",") if x.strip()]
    wrong = [x for x in found if x not in known]
    if wrong or not found:
        raise usage(option, f'"{", ".join(wrong) or text}" is not among {", ".join(known)}')
    return list(dict.fromkeys(found))


def numbers(option: str, text: str, count: int = 0) -> list[float]:
    """Numbers of 0 or more, split by commas or colons; exactly ``count`` of them unless 0."""
    try:
        found = [float(x) for x in text.replace(":", ",").split(",") if x.strip()]
    except ValueError:
        raise usage(option, f'"{text}" is no list of numbers') from None
    if not found or (count and len(found) != count) or any(not 0.0 <= x < 1e9 for x in found):
        raise usage(option, f'"{text}" must be {count or "some"} numbers of 0 or more')
    return found


def _refuse_unswept(asked: Asked) -> None:
    """Exit 2 for an option that a sweep, or a run on a chain, would leave aside without a word."""
    levels_given = (
        ("--policy", bool(asked.policy)),
        ("--own-levels", asked.own_levels),
        ("--trigger", asked.trigger is not None),
        ("--target", asked.target is not None),
    )
    given = [option for option, there in levels_given if there]
    if asked.sweep and given:
        raise usage(
            "--sweep", f"tries a grid of triggers and targets and takes no {given[0]}: leave one away"
        )
    if asked.sweep and asked.chain:
        raise usage("--sweep", "is not driven through a chain: leave --chain away")
    if asked.sweep and asked.keep is not None:
        raise usage("--keep", "keeps the trips of one run and not those of --sweep: leave one away")
    kept = (("--keep", asked.keep is not None), ("--report", asked.report is not None))
    ignored = [option for option, there in (*kept, ("--keepers", asked.keepers != KEEPERS)) if there]
    if asked.chain and ignored:
        raise usage(ignored[0], "is not for --chain, which plays nobody and ours and prints what came of it")


def _scene(
    asked: Asked,
    crew: fleet.Fleet,
    policies: tuple[levels.Rule, Policy | None],
    bets: tuple[PerpAccount, ...],
) -> Scene:
    rule, other = policies
    if asked.feed not in FEEDS:
        raise usage("--feed", f'"{asked.feed}" is not among {", ".join(FEEDS)}')
    moments = chosen("--field", asked.field, bars.FIELDS)
    replay_market.refused(asked)
    wallet = replay_figure.wallet(asked, crew.assets)
    borrow, supply = numbers("--interest", asked.interest, 2)
    try:
        pegs = beside.pegs_of(asked.peg)
    except ValueError as error:
        raise usage("--peg", str(error)) from None
    if pegs and (asked.sweep or asked.chain):
        raise usage("--peg", "is not swept, and not driven through a chain")
    read = _bars(asked, pegs)
    held = [*(x.strip() for x in asked.hold.split(",") if x.strip()), *pegs]
    crew, bets = replay_crew.priced(asked, crew, bets, (_without(read, pegs), held))
    assets = tuple(dict.fromkeys((*crew.assets, *(a for b in bets for a in b.assets))))
    _refuse_lacking(_without(read, pegs), crew, bets, held)
    moved = paths.project(_without(read, pegs), assets, moments, FEEDS[asked.feed], held)
    every = (*replay_guards.policies(rule), *([other] if other is not None else []))
    follows = any(wants_warning(p) for p in every)
    moved = replace(beside.pegged(moved, read, pegs), omens=_omens(asked) if follows else None)
    rates = paths.Rates(borrow={"*": borrow}, supply={"*": supply})
    shop = replay_market.market_of(asked, moved)
    grown = paths.with_interest(moved, rates)
    paid = shop.gas.notes if shop.gas is not None else ()
    paid = (*paid, *_of_funding(asked, bets))
    rules = (*replaying.coarse(grown, shop), *replaying.rules(crew), *replaying.terms(crew, shop))
    whose = replay_guards.said(asked, rule, crew, bets)
    told = (*whose, *(replaying.unlike(crew) if asked.chain else rules), *paid)
    # by which rules it was played comes before what is odd in the files, of which a table shows a few
    grown = replace(grown, notes=(*told, *grown.notes))
    return Scene(
        read=read, crew=crew, moved=grown, shop=shop, policy=rule, perps=bets, other=other, wallet=wallet
    )


def _refuse_lacking(
    read: bars.Bars, crew: fleet.Fleet, bets: Sequence[PerpAccount], held: Sequence[str]
) -> None:
    """ConfigError naming each asset without a price, the files that lack it, and who first needs it, and where."""
    needs = [(a, x.asset) for a in crew.accounts for x in (*a.collateral, *a.debt)]
    wrong = []
    for name in paths.lacking(
        read, list(dict.fromkeys((*crew.assets, *(a for b in bets for a in b.assets)))), held
    ):
        who = [a for a, held_asset in needs if held_asset == name]
        first = f"{who[0].name}, {who[0].place}" if who else next(b.name for b in bets if name in b.assets)
        wrong.append(
            f"{read.path}: column symbol: has no prices of {name} (there are {', '.join(read.symbols[:30])}), which "
            f"{crew.path} needs (first of {first.rstrip(', ')}); add them with another --prices, leave those "
            f"accounts out, or hold the price on purpose (--hold {name})"
        )
    if wrong:
        raise ConfigError(tuple(wrong))


def _without(read: bars.Bars, pegs: Mapping[str, Sequence[str]]) -> bars.Bars:
    """The bars in which no feed finds what only tells a pegged asset's market."""
    told = {s for symbols in pegs.values() for s in symbols}
    return replace(read, symbols=tuple(f"={s}" if s in told else s for s in read.symbols))


def _omens(asked: Asked) -> omens.Omens | None:
    """The early warning over the whole of the files, where funding of the first symbol's asset is given."""
    if asked.funding is None:
        return None
    first = next((s.strip() for s in asked.symbol.split(",") if s.strip()), "")
    if not first:
        raise usage("--funding", "needs --symbol: whose funding is it?")
    history = next((p for p in asked.prices if first in bars.symbols_of(p)), asked.prices[0])
    paid = omens.funding(asked.funding, first.split("/")[0])
    return omens.omens(bars.read(history, (first,)), 0, paid)


def _of_funding(asked: Asked, bets: Sequence[PerpAccount]) -> list[str]:
    """What is odd in the funding that perpetual positions or the warning are given."""
    if asked.funding is None:
        return []
    first = asked.symbol.split(",")[0].strip().split("/")[0]
    names = dict.fromkeys([*(asset(b.index).base for b in bets), *([first] if first and not bets else [])])
    return [n for name in names for n in omens.funding(asked.funding, name).notes]


def _bars(asked: Asked, pegs: Mapping[str, Sequence[str]]) -> bars.Bars:
    moments: list[float | None] = []
    for option, text in (("--from", asked.first), ("--to", asked.last)):
        try:
            moments.append(bars.moment(text) if text else None)
        except ValueError:
            raise usage(option, f'"{text}" is no UTC time: 2021-05-18, or 2021-05-18T12:00:00Z') from None
    wanted = [s.strip() for s in asked.symbol.split(",") if s.strip()]
    wanted += [s for symbols in pegs.values() for s in symbols if wanted and s not in wanted]
    span = (moments[0], moments[1])
    return together.of_files(asked.prices, wanted, span).between(*span)


def _digest(asked: Asked, scene: Scene) -> str:
    """Of what decides the numbers: prices as read and when, what markets say of pegs, the early warning, accounts,
    and the options."""
    moved, body = scene.moved, hashlib.sha256()
    for part in (moved.said, moved.market, moved.row, moved.bar, moved.times_s, moved.usd):
        body.update(part.tobytes())
    for name, sources in sorted(moved.quoted.items()):
        for source, dollars in sources:
            body.update(f"{name} {source} ".encode() + dollars.tobytes())
    if moved.omens is not None:
        omen = moved.omens
        body.update(omen.times_s.tobytes() + omen.score.tobytes() + omen.stands.tobytes())
        body.update(repr(omen.rule).encode())
    options = (
        asked.keepers,
        replay_market.digest(scene.shop),
        repr(scene.policy),
        repr(scene.other),
        asked.wallet,
        asked.own_levels,
    )
    return keep.digest(body.hexdigest(), repr(scene.crew.accounts), options, keep.code())

"""A loan and its hedge in a running chain: which lines are in force at a block, who waits for whom, what is told.

Everything is judged from the one photograph that the block's plans are made from, so a hedge that is gone changes
the loan's lines in the very block that shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from keeper.config import Settings
from keeper.config.pairing import PairSettings
from keeper.daemon.facts import Guarded
from keeper.daemon.hedging import Hedging
from keeper.daemon.isolation import alone
from keeper.daemon.stops import Stops
from keeper.daemon.tick import Tick
from keeper.decision import Memory
from keeper.decision.legs import HEDGE_PROFIT, Cover, Hedged, InForce, Relief, in_force
from keeper.journal.read import Queries
from keeper.model import Decision, Entry, Policy, PositionId, Snapshot
from keeper.phrases import health_text
from keeper.plan import Relieves
from keeper.risk import adl
from keeper.seams import Alarm, Severity
from keeper.triggers import crossed
from strategies.hedge_profit import take

PERPS = ("gmx_v2",)
KIND = "pair"
LOST = "hedge_lost"
ADL = "adl_near"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A pair of the configuration with the identities of its legs."""

    hedged: Hedged
    settings: PairSettings
    keyed: bool = False
    """Its hedge has a key, and a room of its own that tells of it."""

    @property
    def loan(self) -> PositionId:
        """The loan's."""
        return self.hedged.loan

    @property
    def short(self) -> PositionId:
        """The short's."""
        return self.hedged.short


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A part of the short that was ordered closed for its loan."""

    at_s: int
    size_usd: int | None
    """Of the short before; None after a restart."""
    in_vain: bool = False


def links_of(settings: Settings, guarded: Sequence[Guarded]) -> tuple[Link, ...]:
    """The pairs whose legs are on this chain."""
    by_label = {g.label: g for g in guarded}
    found = []
    for pair in settings.pairs:
        loan, short = by_label.get(pair.loan), by_label.get(pair.short)
        if loan is None or short is None:
            continue
        hedged = Hedged(
            loan=loan.id,
            short=short.id,
            assets=pair.assets,
            trigger_wad=pair.trigger_wad or loan.policy.trigger_wad,
            target_wad=pair.target_wad or loan.policy.target_wad,
            cover_least=pair.cover_pct / 100,
            health_least_wad=pair.short_health_wad,
        )
        keyed = any(k.short == pair.short for k in settings.hedge_keys)
        found.append(Link(hedged=hedged, settings=pair, keyed=keyed))
    return tuple(found)


class Pairs:
    """What one chain's ticks remember of its pairs."""

    def __init__(self, links: Sequence[Link], journal: Queries) -> None:
        self.links = tuple(links)
        self.covers: Mapping[PositionId, Cover] = {}
        """By loan, as of the last block that was judged whole."""
        self.lost: Mapping[PositionId, str] = {}
        """Loans that lost their cover in that block, and why."""
        self.unread: frozenset[PositionId] = frozenset()
        """Loans that could not be read in it: their covers are older."""
        self._hedging = Hedging([(x.hedged, x.settings) for x in self.links if not x.keyed])
        self._news: tuple[PositionId, ...] = ()
        self._waits = {x.loan: x for x in self.links if x.settings.take_profit}
        self._asked = {x.loan: a for x in self._waits.values() if (a := _remembered(x, journal)) is not None}

    def standing(
        self, policies: Mapping[PositionId, Policy], snapshot: Snapshot
    ) -> Mapping[PositionId, Policy]:
        """The policies of this block: a covered loan's with the hedged lines. As written where that breaks."""
        if not self.links:
            return policies
        found = alone(partial(self._in_force, snapshot, policies, Memory()))[0]
        return policies if found is None else found.policies

    def see(self, snapshot: Snapshot, policies: Mapping[PositionId, Policy], memory: Memory) -> Memory:
        """Take notice of a whole block; the memory, in which a loan that just lost its cover waits for nothing."""
        self._news, self.lost = (), {}
        if not self.links:
            return memory
        found = alone(partial(self._in_force, snapshot, policies, memory))[0]
        if found is None:
            return memory
        self._news = tuple(
            id
            for id, now in found.covers.items()
            if (was := self.covers.get(id)) is None or was.holds != now.holds
        )
        self.covers, self.lost = {**self.covers, **found.covers}, found.lost
        self.unread = frozenset(x.loan for x in self.links) - found.covers.keys()
        return found.memory

    def _in_force(self, snapshot: Snapshot, policies: Mapping[PositionId, Policy], memory: Memory) -> InForce:
        # of a loan that is itself unread nothing is known, nothing is spent, and nothing was lost
        read = [x.hedged for x in self.links if snapshot.position(x.loan) is not None]
        return in_force(read, snapshot, policies, memory, self.covers)

    def without_loans(self, few: Snapshot) -> Snapshot:
        """The few without loans that are hedged: whether they are covered takes the whole photograph to tell."""
        loans = {x.loan for x in self.links}
        kept = tuple(p for p in few.positions if p.id not in loans)
        return few if len(kept) == len(few.positions) else replace(few, positions=kept)

    def reliefs(
        self, snapshot: Snapshot, policies: Mapping[PositionId, Policy], stops: Stops
    ) -> Mapping[PositionId, Relief]:
        """By loan: whether its hedge's profit may be taken, is on its way or was tried already, and what stops it."""
        found, stopped = {}, self._stopped(snapshot, policies, stops)
        for loan, link in self._waits.items():
            position, policy = snapshot.position(loan), policies.get(loan)
            if position is None or policy is None or link.short not in policies:
                continue
            if (position.health_wad or 0) >= policy.trigger_wad:
                # the danger is over: the next one may use the hedge again
                self._asked.pop(loan, None)
            wait, tried = self._waiting(link, snapshot)
            found[loan] = Relief(
                short=link.short,
                policy=policies[link.short],
                take=take,
                wait=wait,
                tried=tried,
                stopped=stopped.get(loan, ""),
            )
        return found

    def _stopped(
        self, snapshot: Snapshot, policies: Mapping[PositionId, Policy], stops: Stops
    ) -> Mapping[PositionId, str]:
        """Why nothing is done for a loan in need; nobody else is asked after."""
        ours = {id: policies[id] for id in self._waits if id in policies}
        needy = {
            id: policy
            for id, policy in ours.items()
            if (at := snapshot.position(id)) is not None and crossed(at.health_wad or 0, policy)
        }
        found = stops.standing(needy, snapshot.block) if needy else {}
        return {id: f"{stop.code}: {stop.why}" for id, stop in found.items()}

    def _waiting(self, link: Link, snapshot: Snapshot) -> tuple[str, str]:
        """(why the loan waits, why its hedge is not asked again); both empty before it was asked."""
        asked = self._asked.get(link.loan)
        if asked is None:
            return "", ""
        age_s, short = snapshot.block.timestamp_s - asked.at_s, snapshot.position(link.short)
        perp = short.perp if short is not None else None
        name = link.settings.short
        under_way = perp is not None and (
            perp.size_usd == asked.size_usd if asked.size_usd is not None else perp.pending is not None
        )
        if under_way and not asked.in_vain and 0 <= age_s < link.settings.patience_s:
            told = f"a part of {name} was ordered closed {age_s} s ago to repay it"
            return f"{told}; it waits for the profit, {link.settings.patience_s} s at most", ""
        return "", f"{name} was asked {age_s} s ago already; once in a danger"

    def undone(self, ids: Collection[PositionId]) -> None:
        """Orders on these came to nothing: whoever waits for their profit waits no longer."""
        for loan, link in self._waits.items():
            if link.short in ids and (asked := self._asked.get(loan)) is not None:
                self._asked[loan] = replace(asked, in_vain=True)

    def refused(
        self, decisions: Sequence[Decision], planned: Collection[PositionId], snapshot: Snapshot
    ) -> None:
        """Of an order that was wished for and not planned nobody waits: the next block helps the loan alone."""
        wished = {d.id for d in decisions if any(p.strategy == HEDGE_PROFIT for p in d.chosen)}
        for loan, link in self._waits.items():
            if link.short in wished and link.short not in planned:
                self._asked[loan] = Asked(at_s=snapshot.block.timestamp_s, size_usd=None, in_vain=True)

    def relieves(
        self, id: PositionId, strategy: str, snapshot: Snapshot, policies: Mapping[PositionId, Policy]
    ) -> Relieves | None:
        """The loan for which a part of the short ``id`` is closed; None of any other plan."""
        if strategy != HEDGE_PROFIT:
            return None
        link = next((x for x in self._waits.values() if x.short == id), None)
        loan = None if link is None else snapshot.position(link.loan)
        if link is None or loan is None:
            return None
        return Relieves(position=loan, policy=policies[link.loan])

    def rows(self, tick: Tick) -> tuple[Entry, ...]:
        """The journal's rows of what changed between the legs at this block."""
        for plan in tick.plans:
            link = next((x for x in self._waits.values() if x.short == plan.key.position), None)
            short = tick.snapshot.position(plan.key.position)
            if plan.strategy == HEDGE_PROFIT and link is not None and short is not None and short.perp:
                self._asked[link.loan] = Asked(at_s=tick.block.timestamp_s, size_usd=short.perp.size_usd)
        told = tuple(self._row(link, tick) for link in self.links if link.loan in self._news)
        hedged, _ = alone(partial(self._hedging.rows, tick))
        return (*told, *(hedged or ()))

    def _row(self, link: Link, tick: Tick) -> Entry:
        now, plan = self.covers[link.loan], next((p for p in tick.plans if p.key.position == link.loan), None)
        return Entry(
            kind=KIND,
            chain_id=tick.block.chain_id,
            block_number=tick.block.number,
            subject=str(link.loan),
            why=self.said(link),
            data={
                "short": str(link.short),
                "share": round(now.share, 4),
                "holds": now.holds,
                "replanned": None if plan is None else plan.strategy,
            },
        )

    def said(self, link: Link) -> str:
        """How the loan stands to its hedge, in a person's words."""
        now, hedged, name = self.covers[link.loan], link.hedged, link.settings.short
        if now.holds:
            lines = f"trigger {health_text(hedged.trigger_wad)}, target {health_text(hedged.target_wad)}"
            return f"{name} covers {100 * now.share:.0f} % of the collateral: {lines} are in force"
        leg = f"{name} ({hedged.short}), the short of {link.settings.loan} ({hedged.loan}), does not cover it"
        return f"{leg}: {now.why}; its own trigger is in force in this block"

    def tell(self, tick: Tick, policies: Mapping[PositionId, Policy], alarms: Alarm) -> None:
        """Raise what a person must hear, and clear what is over."""
        say_adl(tick.snapshot, alarms)
        for link in self.links:
            now = self.covers.get(link.loan)
            if now is None or link.loan in self.unread:
                continue
            subject, loan = str(link.loan), tick.snapshot.position(link.loan)
            if now.holds:
                alarms.clear(LOST, subject)
                continue
            health = loan.health_wad if loan is not None else None
            calm = health is not None and health >= policies[link.loan].warn_wad
            asked = self._asked.get(link.loan)
            # what was closed to repay the loan is no loss of the hedge
            paid = asked is not None and not asked.in_vain
            severity = Severity.WARNING if calm or paid else Severity.CRITICAL
            alarms.raise_alarm(severity, LOST, subject, self.said(link))


def say_adl(snapshot: Snapshot, alarms: Alarm) -> None:
    """A winning perp that its venue may soon close, or now: CRITICAL once it may. What is unread clears nothing."""
    for position in snapshot.positions:
        if position.id.venue not in PERPS:
            continue
        found, subject = adl.of_position(position), str(position.id)
        if found is None or not found.near:
            alarms.clear(ADL, subject)
            continue
        severity = Severity.CRITICAL if found.enabled else Severity.WARNING
        why = f"its venue closes winners of a side that has won too much of the pool: {found.said}"
        alarms.raise_alarm(severity, ADL, subject, why)


def _remembered(link: Link, journal: Queries) -> Asked | None:
    """What the last process asked of the short, where it asked it for its loan."""
    newest = journal.intents(link.short, limit=1)
    if not newest or newest[0].plan.strategy != HEDGE_PROFIT:
        return None
    return Asked(at_s=newest[0].plan.block.timestamp_s, size_usd=None)

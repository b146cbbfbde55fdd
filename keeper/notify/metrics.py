"""What Prometheus reads: names and units by its conventions, built from one reading of the daemon a scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from keeper.notify.alarm import Told

TOUCH_HORIZON = "1d"
TICK_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionFigures:
    """One guarded position; what is not known now is None, never the last known."""

    label: str
    venue: str
    level: str
    health: float | None
    distance: float | None
    """Nearest liquidation price over today's, minus 1; None where no single price liquidates."""
    touch: float | None = None
    """Probability of touching its liquidation boundary by ``TOUCH_HORIZON``; None while it cannot be judged."""
    stopped: str = ""
    """Code of what keeps it, and not the whole chain, from being acted for; empty while nothing does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFigures:
    """One chain."""

    name: str
    block: int | None
    judged_age_s: float
    """Since a block was last read and judged to its end, or since the start."""
    blind: bool
    armed: bool
    broken: bool
    endpoints: tuple[int, int] | None
    """(usable now, configured)."""
    native_ether: float | None
    open_intents: int
    positions: tuple[PositionFigures, ...]
    endpoint_errors: tuple[tuple[tuple[str, str], int], ...] = ()
    """((endpoint, kind), requests without a usable answer)."""
    paused: bool = False
    """Everything, by a person, until some time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFigures:
    """One alarm target."""

    name: str
    down: bool
    waiting: int
    delivered: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryFigures:
    """Rescues for practice."""

    every_s: float
    """0: only when asked for."""
    success_s: float
    """Wall time of the last success; 0: never."""
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JointFigures:
    """What legs are to each other; what is not known now is left out."""

    worth_usd: tuple[tuple[str, float], ...] = ()
    """By owner of several legs."""
    cover: tuple[tuple[tuple[str, str, str], float, bool], ...] = ()
    """((chain, loan, short), share of the collateral, whether that covers it)."""
    adl_left: tuple[tuple[tuple[str, str], float], ...] = ()
    """((chain, position), share of the way)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The whole daemon at one moment."""

    version: str
    mode: str
    chains: tuple[ChainFigures, ...]
    targets: tuple[TargetFigures, ...] = ()
    unacknowledged: int = 0
    canary: CanaryFigures | None = None
    joint: JointFigures = JointFigures()


class Counts:
    """What only grows."""

    def __init__(self) -> None:
        self.alarms: Counter[tuple[str, str]] = Counter()
        """(severity, code) -> raised; repetitions and ends are not counted."""
        self.plans: Counter[str] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """(chain, state)."""
        self.tick_s: dict[tuple[str, str], list[float]] = {}
        """(chain, phase) -> count of each bucket, of all, and the sum in seconds."""

    def copy(self) -> Counts:
        """As they stand now, for a thread that reads them while they grow."""
        made = Counts()
        made.alarms, made.plans, made.outcomes = self.alarms.copy(), self.plans.copy(), self.outcomes.copy()
        made.tick_s = {at: list(row) for at, row in self.tick_s.items()}
        return made

    def heard(self, told: Told) -> None:
        """An alarm."""
        if not told.cleared and not told.again:
            self.alarms[told.severity.value, told.code] += 1

    def took(self, chain: str, phase: str, seconds: float) -> None:
        """One phase of one tick."""
        row = self.tick_s.setdefault((chain, phase), [0.0] * (len(TICK_BUCKETS_S) + 2))
        row[-1] += seconds
        for i, bound in enumerate(TICK_BUCKETS_S):
            if seconds <= bound:
                row[i] += 1
        row[-2] += 1


class Exposition:
    """Figures as the text that Prometheus reads. Raises ImportError where its client is not installed."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)

    def text(self, figures: Figures, counts: Counts) -> bytes:
        """One scrape, of figures that nobody changes any more: a thousand positions take 30 ms, on any thread."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(_Reading(figures, counts))
        return bytes(generate_latest(registry)) + bytes(generate_latest(self._process))


class _Reading:
    """What one scrape collects."""

    def __init__(self, figures: Figures, counts: Counts) -> None:
        self._figures = figures
        self._counts = counts

    def describe(self) -> Iterable[Any]:
        """Nothing: the registry would else collect once at registration."""
        return ()

    def collect(self) -> Iterable[Any]:
        """Every family, from one reading."""
        figures = self._figures
        yield _gauge(
            "keeper_info", "Version and mode.", ("version", "mode"), [((figures.version, figures.mode), 1)]
        )
        yield from _chains(figures.chains)
        yield from _positions(figures.chains)
        yield from _targets(figures)
        yield from _canary(figures.canary)
        yield from _joint(figures.joint)
        yield from self._counted()

    def _counted(self) -> Iterable[Any]:
        from prometheus_client.core import HistogramMetricFamily

        c = self._counts
        yield _counter("keeper_alarms", "Alarms raised.", ("severity", "code"), c.alarms.items())
        plans = [((chain,), n) for chain, n in c.plans.items()]
        yield _counter("keeper_plans", "Plans that a tick wished for.", ("chain",), plans)
        yield _counter("keeper_outcomes", "What became of plans.", ("chain", "state"), c.outcomes.items())
        ticks = HistogramMetricFamily(
            "keeper_tick_duration_seconds", "Time of a tick by phase.", labels=("chain", "phase")
        )
        for labels, row in c.tick_s.items():
            bounds = [(str(b), row[i]) for i, b in enumerate(TICK_BUCKETS_S)]
            ticks.add_metric(labels, [*bounds, ("+Inf", row[-2])], sum_value=row[-1])
        yield ticks


def _chains(chains: tuple[ChainFigures, ...]) -> Iterable[Any]:
    def each(name: str, told: str, of: Callable[[ChainFigures], float | None]) -> Any:
        rows = [((c.name,), value) for c in chains if (value := of(c)) is not None]
        return _gauge(f"keeper_{name}", told, ("chain",), rows)

    yield each("head_block", "Last block that was judged.", lambda c: c.block)
    yield each("head_age_seconds", "Since a block was last judged to its end.", lambda c: c.judged_age_s)
    yield each("chain_blind", "1 while the chain cannot be seen.", lambda c: c.blind)
    yield each("armed", "1 while plans are acted on.", lambda c: c.armed)
    yield each("paused", "1 while a person's pause of everything lasts.", lambda c: c.paused)
    yield each("broken", "1 after an invariant failed: a person must look.", lambda c: c.broken)
    usable = "Endpoints that can be used now."
    yield each("endpoints_usable", usable, lambda c: c.endpoints[0] if c.endpoints else None)
    configured = "Endpoints that are configured."
    yield each("endpoints_configured", configured, lambda c: c.endpoints[1] if c.endpoints else None)
    told = "Requests that got no usable answer, by why."
    errors = [((c.name, *at), n) for c in chains for at, n in c.endpoint_errors]
    yield _counter("keeper_endpoint_errors", told, ("chain", "endpoint", "kind"), errors)
    yield each("gas_tank_ether", "Native coin of the keeper's wallet.", lambda c: c.native_ether)
    yield each("open_intents", "Plans under way.", lambda c: c.open_intents)


def _positions(chains: tuple[ChainFigures, ...]) -> Iterable[Any]:
    labels = ("chain", "position", "venue")
    all_of = [((c.name, p.label, p.venue), p) for c in chains for p in c.positions]
    health = [(at, p.health) for at, p in all_of if p.health is not None]
    yield _gauge("keeper_health_factor", "Health on the liquidation threshold.", labels, health)
    distance = [(at, p.distance) for at, p in all_of if p.distance is not None]
    told = "Nearest liquidation price over today's, minus 1."
    yield _gauge("keeper_liquidation_distance_ratio", told, labels, distance)
    touch = [((*at, TOUCH_HORIZON), p.touch) for at, p in all_of if p.touch is not None]
    told = "Probability that prices touch liquidation by the horizon, without a rescue: a model's."
    yield _gauge("keeper_position_touch_probability", told, (*labels, "horizon"), touch)
    # the present level alone: five rows a position would be most of a scrape of a thousand
    levels = [((*at, p.level), 1.0) for at, p in all_of]
    yield _gauge("keeper_position_level", "1 for the level it is in.", (*labels, "level"), levels)
    stops = [((*at, p.stopped), 1.0) for at, p in all_of if p.stopped]
    told = "1 while it is kept from being acted for, whatever its level."
    yield _gauge("keeper_position_stopped", told, (*labels, "code"), stops)


def _targets(figures: Figures) -> Iterable[Any]:
    rows = figures.targets
    told = "Critical alarms that stand unacknowledged."
    yield _gauge("keeper_alarms_unacknowledged", told, (), [((), figures.unacknowledged)])
    labels = ("target",)
    down = [((t.name,), float(t.down)) for t in rows]
    yield _gauge("keeper_alarm_target_down", "1 while alarms do not arrive there.", labels, down)
    waiting = [((t.name,), t.waiting) for t in rows]
    yield _gauge("keeper_alarm_target_waiting", "Alarms that wait for it.", labels, waiting)
    sent = [((t.name, "delivered"), t.delivered) for t in rows] + [
        ((t.name, "failed"), t.failed) for t in rows
    ]
    yield _counter("keeper_alarm_deliveries", "Tries by result.", ("target", "result"), sent)


def _joint(joint: JointFigures) -> Iterable[Any]:
    worth = [((owner,), usd) for owner, usd in joint.worth_usd]
    told = "What an owner's legs are worth together, over venues and chains."
    yield _gauge("keeper_joint_worth_usd", told, ("owner",), worth)
    labels = ("chain", "loan", "short")
    shares = [(at, share) for at, share, _ in joint.cover]
    yield _gauge(
        "keeper_hedge_cover_ratio", "Share of a loan's collateral that its short covers.", labels, shares
    )
    held = [(at, float(holds)) for at, _, holds in joint.cover]
    yield _gauge(
        "keeper_hedge_covered", "1 while that is enough for the lines of a covered loan.", labels, held
    )
    told = "Share of the way to auto-deleveraging of a perpetual's side that is left."
    yield _gauge("keeper_adl_left_ratio", told, ("chain", "position"), joint.adl_left)


def _canary(canary: CanaryFigures | None) -> Iterable[Any]:
    if canary is None:
        return
    told = "When the last rescue for practice succeeded; 0: never."
    yield _gauge("keeper_canary_last_success_timestamp_seconds", told, (), [((), canary.success_s)])
    yield _gauge("keeper_canary_failed", "1 while the last one failed.", (), [((), canary.failed)])
    told = "How often one is due; 0: only when asked for."
    yield _gauge("keeper_canary_interval_seconds", told, (), [((), canary.every_s)])


def _gauge(
    name: str, told: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], float]]
) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, told, labels=labels)
    for at, value in rows:
        family.add_metric(at, float(value))
    return family


def _counter(
    name: str, told: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], float]]
) -> Any:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, told, labels=labels)
    for at, value in rows:
        family.add_metric(at, float(value))
    return family

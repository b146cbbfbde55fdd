"""What an owner wants and what the keeper means to do: policies, proposals, decisions, plans. Wishes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keeper.model.identity import Amount, PositionId
from keeper.model.mandate import Source
from keeper.model.outlook import Level
from keeper.model.perp import AddMargin, CancelOrder, GrowPerp, PlaceStop, ReducePerp
from keeper.model.position import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Limits in money that hold whatever the price does."""

    per_action_usd: int
    per_day_usd: int
    gas_usd_max: int
    """Most that the gas of one action may cost in ordinary times."""
    gas_usd_emergency: int
    """Hard ceiling below emergency health; relaxed there, never removed."""
    gas_loss_pct: int = 20
    """Per cent of the expected liquidation loss that gas may cost; all of that loss below emergency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """How a feed has moved lately, sampled by the hour."""

    feed: str
    price_base: int
    at_s: int
    """Of the last sample."""
    variance_h: float = 0.0
    """Of the logarithm, an hour."""
    samples: int = 0
    doubt_base: int = 0
    """A price so far from the last sample that it must be seen again; 0: none."""
    doubt_s: int = 0
    """When it was seen first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce:
    """What one of an owner's rules wants smaller at this block; decision fills it in, never a configuration."""

    by: str
    """The strategy that carries it out."""
    targets: tuple[int, ...]
    """Healths (wad) at which it is small enough, the one wanted most first; 2**256 - 1: out of debt."""
    why: str
    sell: tuple[str, ...] = ()
    """Addresses of the tokens that may be sold for it; empty: any."""
    repay: tuple[str, ...] = ()
    """Addresses of the tokens that may be repaid by it; empty: any."""
    size_usd: int = 0
    """Of a perpetual position: how much of its size is closed, 30 decimals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """An owner's wish for a position, in health factor on the liquidation threshold (wad)."""

    name: str
    warn_wad: int
    trigger_wad: int
    target_wad: int
    emergency_wad: int
    max_health_wad: int
    hysteresis_wad: int
    cooldown_blocks: int
    act: str
    """``always`` (a crossed trigger is a promise) or ``break_even``."""
    strategies: tuple[str, ...]
    caps: Caps
    idle_rate: float
    """Yearly return the keeper's idle capital would earn elsewhere (0.05 = 5 %)."""
    horizon_days: float
    """How long rescue capital is expected to stay tied up."""
    stress_pct: float = 10.0
    """A further move of every volatile price at once, up or down, that must leave a rescued position at emergency
    or above; 0 asks for target alone."""
    ladder: bool = False
    """Between trigger and emergency restore only part of the way to target, the more the lower health is."""
    close_at_wad: int = 0
    """``close_position``: health below which everything is closed; 0: none."""
    close_prices: tuple[tuple[str, int], ...] = ()
    """``close_position``: (token symbol, dollars in wad) at or below which everything is closed."""
    close_to: str = "collateral"
    """What the owner is left with after closing: ``collateral`` (as little as possible is sold) or ``debt``."""
    deleverage_times: int = 0
    """Sell only while the Executor counts fewer actions on the position: 1 is one-shot; 0 is without end."""
    stretch: bool = False
    """``deleverage``: where gas is dear, sell on above target, towards max_health, as long as the sale loses no more
    than its gas costs: fewer actions in a storm."""
    lead_bps: int = 0
    """``deleverage``: so far prices may move, either way, until a sale is included: where it can be, it is sized and
    limited so that it still reaches target then, and does not pass max_health."""
    trail_pct: tuple[tuple[str, int], ...] = ()
    """``trailing_stop``: (token symbol, 1e-4 per cent from the best price seen) where all is closed."""
    take_profit: tuple[tuple[str, int], ...] = ()
    """``take_profit``: (token symbol, dollars in wad) at which all is closed: held at or above, owed at or below."""
    close_above_trigger: bool = False
    """An exit by price is made at any health; else below trigger only."""
    leverage_target_wad: int = 0
    """Leverage that is restored once ``leverage_max_wad`` is passed; 0: no band."""
    leverage_max_wad: int = 0
    storm_times_max: float = 1.0
    """So many times the way from emergency to trigger may grow where the market moves more than usual; 1: never."""
    warning_target_wad: int = 0
    """Added to target while the early warning stands; 0: the warning moves nothing."""
    warning_trigger_wad: int = 0
    """Added to trigger and warn besides."""
    exposure_max_usd: tuple[tuple[str, str, int], ...] = ()
    """``exposure_limits``: (``asset``, ``venue`` or ``issuer``, its name, whole dollars) that one owner may hold."""
    depeg_ppm: int = 0
    """``depeg_playbook``: so far below one dollar, in millionths, two sources must see a stable; 0: never asked."""
    floor_usd: int = 0
    """``floor``: whole dollars of equity that are not to be lost; 0: none."""
    floor_times_wad: int = 0
    """What is held at risk may be so many times the equity above the floor."""
    floor_ratchet_ppm: int = 0
    """The floor follows the highest equity seen at this share of it; 0: it stands where it is."""
    reduce_above_trigger: bool = False
    """``exposure_limits``, ``depeg_playbook`` and ``floor`` act at any health; else below trigger only."""
    reduces: tuple[Reduce, ...] = ()
    """What those want smaller at this block; never by a configuration."""
    own_target_wad: int = 0
    """What the owner wrote, where target was raised and health is below the trigger that he wrote: a rescue that
    reaches it is made where none reaches more. Filled in for each block, never by a configuration; 0: not raised."""
    own_max_wad: int = 0
    """``max_health`` beside it, as the owner wrote it."""
    peak_usd_wad: int = 0
    """The highest equity seen, dollars: filled in from memory for each block, never by a configuration."""
    pulses: tuple[Pulse, ...] = ()
    """Filled in from memory for each block, never by a configuration."""
    trail_marks: tuple[tuple[str, int, int], ...] = ()
    """(symbol, side, best price in wad): filled in from memory for each block, never by a configuration."""
    moved: tuple[str, ...] = ()
    """What the owner allowed to move and has moved at this block, as differences; never by a configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """Who pays a step that the keeper's wallet does not: the Executor's reserve, then its owner's finite grant."""

    executor: str
    key: str
    """The position's id inside the Executor, 0x-hex."""
    seq: int
    """The Executor's own number of the action: of two with one number, only one can take effect."""
    deadline_s: int
    """Unix seconds of the last block in which the Executor takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Add collateral to a position on behalf of its owner, from the keeper's wallet or by an errand."""

    amount: Amount
    through: Errand | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repay:
    """Repay a position's debt on behalf of its owner, from the keeper's wallet or by an errand."""

    amount: Amount
    through: Errand | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One way's part of a sale that is split over several."""

    fees: tuple[int, ...]
    via: tuple[str, ...]
    bought: int
    """Debt units that it pays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleverage:
    """Sell a position's collateral and repay its debt in one transaction, through its owner's Executor.

    Nothing comes from the keeper's wallet but gas. Sold units between ``sold`` and ``sell_max`` are what it is
    planned for; the contract moves no more than ``sell_max``.
    """

    executor: str
    key: str
    """The position's id inside the Executor, 0x-hex."""
    seq: int
    """The Executor's own number of the action: of two with one number, only one can take effect."""
    deadline_s: int
    """Unix seconds of the last block in which the Executor takes it."""
    sell_max: Amount
    sold: int
    """Collateral units that the quote of the block expects to be sold."""
    repay: Amount
    """Debt that is repaid, or more where ``whole`` tells the Executor to repay all that is owed."""
    whole: bool = False
    source: Source
    source_token: str = ""
    source_fee: int = 0
    fee_units: int = 0
    """Debt units that the flash loan costs at the most."""
    router: str = ""
    """Empty: the direct Uniswap v3 pool of ``fees[0]``."""
    fees: tuple[int, ...]
    via: tuple[str, ...] = ()
    sells: tuple[int, ...] = ()
    """STEPWISE: collateral units of each step."""
    shares: tuple[Share, ...] = ()
    """Where the sale is split over several ways, all of them through the router."""
    calldata: bytes = b""
    """What the router is told, where an aggregator composed it; it sells exactly ``sold``."""
    sell_all: bool = False
    """By a router: exactly ``sell_max`` is sold, and what it brings above the repayment goes to the owner."""

    @property
    def amount(self) -> Amount:
        """What moves at the most, as caps count it."""
        return self.sell_max


Step = Supply | Repay | Deleverage | AddMargin | ReducePerp | PlaceStop | CancelOrder | GrowPerp
"""One action on a venue. Further steps (withdraw) join as venues need them."""


def from_wallet(steps: Iterable[Step]) -> tuple[Amount, ...]:
    """What the steps take from the keeper's own wallet, gas apart."""
    return tuple(
        s.amount
        for s in steps
        if isinstance(s, AddMargin | GrowPerp) or (isinstance(s, Supply | Repay) and s.through is None)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An expected no, with a code that is stable and a reason that a person can read."""

    who: str
    """The strategy, guard or room that said no."""
    code: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One way to bring a position to target, and what it costs."""

    ids: tuple[PositionId, ...]
    strategy: str
    steps: tuple[Step, ...]
    health_after_wad: int
    """Expected, rounded down."""
    spend_usd: float
    gas_usd: float
    idle_usd: float
    cost_usd: float
    """gas_usd + idle_usd + swap_usd: what the choice is made by."""
    why: str
    swap_usd: float = 0.0
    """What a sale costs against the oracle's prices, flash loan included."""
    flash_usd: float = 0.0
    """Of that, what the flash loan takes."""
    others: tuple[Rejection, ...] = ()
    """What the strategy itself weighed and did not propose, with its cost."""
    first: bool = False
    """Before every other way, whatever they cost: the owner's own stop-loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An alternative that was not taken, and why."""

    strategy: str
    code: str
    why: str
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """What doing nothing is expected to cost: it decides the way, never whether."""

    chance: float
    """Of a liquidation, by the straight line of docs/decisions/triggers.md: 0 at trigger, 1 at emergency."""
    loss_usd: float | None
    """What one liquidation takes, the bonus forgone to the liquidator first; None where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is wished for one owner's position at one block, with every alternative that was not taken."""

    owner: str
    id: PositionId
    level: Level
    health_wad: int | None
    chosen: tuple[Proposal, ...]
    rejected: tuple[Rejection, ...]
    why: str
    stake: Stake | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A contract call: calldata to a target. ``gas`` is 0 where a batch decides."""

    target: str
    data: bytes
    value_wei: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What must hold for a plan to be worth sending, and what must be true afterwards."""

    health_after_min_wad: int
    health_after_max_wad: int
    cost_usd_max: int
    fee_wei_max: int
    """Most wei that the transaction may burn: gas limit x maxFeePerGas never exceeds it."""
    gas_limit: int
    deadline_block: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PlanKey:
    """Idempotency key: ``seq`` is allotted in the journal's check-and-insert, one action each."""

    position: PositionId
    seq: int

    def __str__(self) -> str:
        return f"{self.position}#{self.seq}"

    @classmethod
    def parse(cls, text: str) -> PlanKey:
        """Inverse of ``str``. Raises ValueError."""
        position, seq = text.rsplit("#", 1)
        return cls(position=PositionId.parse(position), seq=int(seq))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One bounded transaction."""

    key: PlanKey
    strategy: str
    steps: tuple[Step, ...]
    call: Call
    bounds: Bounds
    block: Block
    urgent: bool
    """True below emergency health: fees escalate every block."""
    health_before_wad: int | None
    why: str

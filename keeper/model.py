"""The records that pass between the rooms: frozen, slotted, keyword-only, holding tuples.

Snapshot and Outcome are facts; Decision and Plan are wishes. A failed read is an ``Unreadable`` record, never a
zero debt and never an infinite health factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block header of one chain."""

    chain_id: int
    number: int
    hash: str
    parent_hash: str
    timestamp_s: int
    base_fee_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An ERC-20 token; ``address`` is EIP-55."""

    chain_id: int
    address: str
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """An exact number of a token's smallest units. Two tokens never add."""

    token: Token
    units: int

    def __add__(self, other: Amount) -> Amount:
        self._same(other)
        return Amount(token=self.token, units=self.units + other.units)

    def __sub__(self, other: Amount) -> Amount:
        self._same(other)
        return Amount(token=self.token, units=self.units - other.units)

    def _same(self, other: Amount) -> None:
        if self.token != other.token:
            raise ValueError(f"amounts of {self.token.symbol} and {other.token.symbol} do not add")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PositionId:
    """Which position: protocol kind, chain, account, and the protocol's own key (market, vault, position)."""

    venue: str
    chain_id: int
    account: str
    key: str

    def __str__(self) -> str:
        return f"{self.venue}:{self.chain_id}:{self.account}:{self.key}"

    @classmethod
    def parse(cls, text: str) -> PositionId:
        """Inverse of ``str``. Raises ValueError."""
        venue, chain_id, account, key = text.split(":", 3)
        return cls(venue=venue, chain_id=int(chain_id), account=account, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One asset inside a position, as the protocol counts it at the block read."""

    amount: Amount
    """Accrued units at the block's timestamp, rounded as the protocol rounds them."""
    stored: int
    """The protocol's own stored integer (Aave: scaled balance; Morpho: shares)."""
    price_base: int
    """The venue's oracle price of one whole token, in base-currency units."""
    value_base: int
    """Value in base-currency units, rounded as the protocol rounds it."""
    threshold_wad: int
    """Collateral: liquidation threshold that applies (e-mode resolved), 0 when it does not count. Debt: 1e18."""
    feed: str
    """Identity of the price that this venue uses for it (a price belongs to a venue's oracle)."""
    bonus_bps: int = 0
    """Collateral: what a liquidator gets per 10_000 of debt value (10_500 = 5 % bonus; e-mode resolved)."""
    bonus_fee_bps: int = 0
    """Collateral: the protocol's share of that bonus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookRow:
    """A position as two affine forms in feed prices: assets a0 + a.p, requirement b0 + b.p (DESIGN.md §4)."""

    feeds: tuple[str, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    a0: float = 0.0
    b0: float = 0.0
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One guarded position at one block: the protocol's exact integers, and its row of the book."""

    id: PositionId
    owner: str
    block_number: int
    health_wad: int | None
    """The protocol's own health integer; 2**256-1 without debt; None where a venue has none."""
    collateral: tuple[Holding, ...]
    debt: tuple[Holding, ...]
    base_decimals: int
    """Decimals of the base currency in which value_base and price_base are given (USD)."""
    row: BookRow
    mode: str = ""
    """The venue's name for a special regime (Aave e-mode label), empty in the ordinary one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A position that could not be read; it is UNKNOWN, whatever it was before."""

    id: PositionId
    why: str
    since_block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """What planning must know of one asset on one venue and may not fetch."""

    venue: str
    """The venue's id (``seams.Venue.id``)."""
    token: Token
    feed: str
    price_base: int
    base_decimals: int
    active: bool
    frozen: bool
    paused: bool
    supply_room_units: int | None
    """Units that may still be supplied under the cap; None when there is no cap."""
    cash_units: int
    """Units that can be withdrawn or borrowed now."""
    supply_rate_ray: int
    borrow_rate_ray: int
    supply_index_ray: int = 0
    """Index of deposits as stored at ``updated_s`` (not accrued); 0 where a venue has none."""
    borrow_index_ray: int = 0
    """Index of debt as stored at ``updated_s``."""
    updated_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a spender may pull of a token from the keeper's wallet."""

    token: Token
    spender: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """All that planning needs and may not fetch: the keeper's wallet, allowances, reserves, gas."""

    wallet: str
    native_wei: int
    nonce: int
    balances: tuple[Amount, ...]
    allowances: tuple[Allowance, ...]
    reserves: tuple[Reserve, ...]
    tip_wei: int
    native_price_base: int | None
    """Price of one native token in USD with ``native_price_decimals``; None when no feed gives it."""
    native_price_decimals: int = 8

    def balance(self, token: Token) -> int:
        """Units of ``token`` in the wallet (0 when it was not among those read)."""
        return next((a.units for a in self.balances if a.token == token), 0)

    def allowance(self, token: Token, spender: str) -> int:
        """Units of ``token`` that ``spender`` may pull from the wallet."""
        return next((a.units for a in self.allowances if a.token == token and a.spender == spender), 0)

    def reserve(self, venue: str, token: Token) -> Reserve | None:
        """The reserve of ``token`` on ``venue``, if read."""
        return next((r for r in self.reserves if r.venue == venue and r.token == token), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything known of one chain at one block hash."""

    block: Block
    positions: tuple[Position, ...]
    unreadable: tuple[Unreadable, ...]
    means: Means
    prices: Mapping[str, float]
    """Feed identity -> price of one whole token in USD."""
    digest: str

    def position(self, id: PositionId) -> Position | None:
        """The position of that identity, if it could be read."""
        return next((p for p in self.positions if p.id == id), None)


class Level(StrEnum):
    """How near a position is to harm. UNKNOWN is never healthy."""

    SAFE = "SAFE"
    WATCH = "WATCH"
    ACT = "ACT"
    URGENT = "URGENT"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shock:
    """Relative price moves by feed: -0.3 is a fall of 30 %. ``*`` stands for every feed not named."""

    name: str
    moves: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationPrice:
    """Where one feed alone, the others held, brings margin to 0; ``distance`` = price / now - 1."""

    feed: str
    price: float
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the risk core says of one position; ``level`` is final only after decision's hysteresis."""

    id: PositionId
    health: float | None
    """None without debt (nothing to cover)."""
    margin_usd: float
    leverage: float | None
    """Assets at market value over equity; None when equity is not positive."""
    health_under: tuple[tuple[str, float | None], ...]
    """(shock name, health under it) in the order of the shocks given."""
    distance: tuple[LiquidationPrice, ...]
    nearest_shock: str | None
    """The mildest given shock that liquidates, by the order given; None when none does."""
    level: Level
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Limits in money that hold whatever the price does."""

    per_action_usd: int
    per_day_usd: int
    gas_usd_max: int
    """Most that the gas of one action may cost in ordinary times."""
    gas_usd_emergency: int
    """Hard ceiling below emergency health; relaxed there, never removed."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Add collateral to a position from the keeper's wallet, on behalf of its owner."""

    amount: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Repay:
    """Repay a position's debt from the keeper's wallet, on behalf of its owner."""

    amount: Amount


Step = Supply | Repay
"""One action on a venue. Further steps (withdraw, flash repay, swap, perps) join as venues need them."""


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
    """gas_usd + idle_usd: what the choice is made by."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """An alternative that was not taken, and why."""

    strategy: str
    code: str
    why: str
    cost_usd: float | None = None


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


class IntentState(StrEnum):
    """Life of an intent. Terminal: FINAL, REVERTED, REPLACED, CANCELLED, EXPIRED, ABANDONED, DRY."""

    PLANNED = "PLANNED"
    SIGNED = "SIGNED"
    SENT = "SENT"
    INCLUDED = "INCLUDED"
    SETTLED = "SETTLED"
    FINAL = "FINAL"
    REVERTED = "REVERTED"
    REPLACED = "REPLACED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    ABANDONED = "ABANDONED"
    DRY = "DRY"
    """Dry-run: simulated and filled on the shadow position, never signed."""

    @property
    def open(self) -> bool:
        """True while the intent may still have an effect that planning must wait for."""
        return self in _OPEN


_OPEN = frozenset({IntentState.PLANNED, IntentState.SIGNED, IntentState.SENT, IntentState.CANCELLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """EIP-1559 fee fields of one attempt."""

    gas_limit: int
    max_fee_wei: int
    tip_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One signed transaction of an intent: same nonce, rising ``n`` and fees."""

    key: PlanKey
    nonce: int
    n: int
    raw: bytes = field(repr=False)
    hash: str
    fee: Fee
    sent_block: int
    cancel: bool = False
    """True for the self-send that frees the nonce of a plan whose time has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A plan that the journal has accepted, and where it stands."""

    key: PlanKey
    plan: Plan
    state: IntentState
    attempts: tuple[Attempt, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an intent, as the chain tells it."""

    key: PlanKey
    state: IntentState
    block_number: int
    tx_hash: str | None
    gas_used: int
    gas_price_wei: int
    health_after_wad: int | None
    promised_min_wad: int
    surprise: str
    """Empty when the promise was kept; else what differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the append-only journal."""

    kind: str
    """tick, level, decision, plan, attempt, outcome, alarm, control, shadow, start, stop."""
    chain_id: int
    block_number: int
    subject: str
    """The position, plan key or endpoint that it is about; empty for the daemon itself."""
    why: str
    data: Mapping[str, object] = field(default_factory=dict)
    """Plain JSON; integers beyond 2**53 as strings."""
    id: int = 0
    at_s: float = 0.0

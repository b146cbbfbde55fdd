"""Every custom error of the Executor: what it is called here, and what a person is told."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.executor.abi import selector
from keeper.phrases import health_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One refusal of the contract, with the values it names."""

    name: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How one error is told: its stable code here, its signature's types, and words with places for values."""

    code: str
    kinds: tuple[str, ...]
    words: str


U, A = "uint256", "address"
TABLE: dict[str, Told] = {
    # who may call
    "NotOwner": Told(code="not_owner", kinds=(A,), words="{0} is not the owner"),
    "NotBot": Told(
        code="grant_expired", kinds=(A,), words="{0} is no bot of the Executor, or its term ended"
    ),
    "NotGuardian": Told(code="not_guardian", kinds=(A,), words="{0} is neither owner nor guardian"),
    "IsPaused": Told(code="paused", kinds=(), words="owner or guardian paused the Executor"),
    # when
    "PositionUnknown": Told(
        code="unknown_position", kinds=("bytes32",), words="the Executor does not know the position"
    ),
    "AssetUnknown": Told(
        code="unknown_asset", kinds=("bytes32", A), words="the Executor does not list {1} for the position"
    ),
    "WrongSeq": Told(code="wrong_seq", kinds=(U, U), words="the next action is number {0}, not {1}"),
    "PolicyExpired": Told(code="grant_expired", kinds=(U,), words="the owner's policy ended at {0}"),
    "DeadlinePassed": Told(code="deadline", kinds=(U,), words="the order was good until {0}"),
    "NotTriggered": Told(code="not_triggered", kinds=(U, U), words="health {0} is not below its trigger {1}"),
    "CoolingDown": Told(code="cooldown", kinds=(U,), words="the Executor acts again from block {0}"),
    # what
    "BadAmount": Told(code="amount", kinds=(U,), words="{0} is no amount that it moves"),
    "RouterUnknown": Told(
        code="router_not_allowed", kinds=(A,), words="router {0} is not on the owner's list"
    ),
    "SourceUnavailable": Told(code="no_source", kinds=("uint8",), words="flash source {0} is not there"),
    "NoPrice": Told(code="no_price", kinds=(A,), words="the protocol's oracle has no price for {0}"),
    "FlashFeeTooHigh": Told(code="flash_fee", kinds=(U, U), words="the flash loan costs {0}, allowed is {1}"),
    # callbacks
    "CallbackCaller": Told(code="callback", kinds=(A,), words="{0} called back unexpectedly"),
    "CallbackInitiator": Told(code="callback", kinds=(A,), words="{0} started that flash loan"),
    "CallbackArguments": Told(code="callback", kinds=(), words="the callback's arguments were changed"),
    "CallbackMissing": Told(code="callback", kinds=(), words="the lender did not call back"),
    # money
    "GrantShort": Told(
        code="grant_too_small", kinds=(A, U, U), words="the owner allows {1} of {0}, {2} is needed"
    ),
    "ReserveShort": Told(
        code="empty_reserve", kinds=(A, U, U), words="reserve and wallet hold {1} of {0}, {2} is needed"
    ),
    "TransferShort": Told(
        code="transfer", kinds=(A, U, U), words="a transfer of {0} moved {2} instead of {1}"
    ),
    "SellLimit": Told(code="sell_limit", kinds=(U, U), words="{0} would be sold, at the most {1} may be"),
    "SlippageExceeded": Told(
        code="slippage",
        kinds=(U, U),
        words="{1} for {0} is below the oracle's price less the owner's slippage",
    ),
    "SwapFailed": Told(code="swap_failed", kinds=("bytes",), words="the router's call reverted"),
    "SwapShort": Told(code="swap_short", kinds=(U, U), words="the swap brings {0}, {1} is needed"),
    "SpendCap": Told(code="cap", kinds=(U, U), words="{0} would be moved in this epoch, the cap is {1}"),
    "BotCap": Told(code="cap", kinds=(U, U), words="{0} would be moved, this bot's share of the cap is {1}"),
    "ResidueMissing": Told(
        code="residue", kinds=(A, U, U), words="the Executor would hold {2} of {0}, not {1}"
    ),
    # after
    "NotImproved": Told(code="not_better", kinds=(U, U), words="health would go from {0} to {1}"),
    "TargetMissed": Told(code="target_missed", kinds=(U, U), words="health would be {0}, {1} is needed"),
    "MaxHealthExceeded": Told(
        code="above_max", kinds=(U, U), words="health would be {0}, at the most {1} is wanted"
    ),
    # configuration
    "BadPolicy": Told(code="bad_policy", kinds=("uint8",), words="the policy breaks rule {0}"),
    "BadRouter": Told(code="bad_router", kinds=(A,), words="{0} can be no router"),
    "BadBot": Told(code="bad_bot", kinds=(A,), words="{0} can be no bot"),
    "TooManyBots": Told(code="bad_bot", kinds=(), words="three bots are the most"),
    "BadGuardian": Told(code="bad_guardian", kinds=(A,), words="{0} is a bot"),
    "BadAsset": Told(code="bad_asset", kinds=(A,), words="{0} cannot be listed so"),
    "NotAnnounced": Told(
        code="not_announced", kinds=("bytes32", U), words="the change must be announced a day before"
    ),
    # OpenZeppelin's
    "ReentrancyGuardReentrantCall": Told(code="reentrant", kinds=(), words="a call within a call"),
    "SafeERC20FailedOperation": Told(code="transfer", kinds=(A,), words="a transfer of {0} failed"),
}
"""By name, in the order of IExecutorErrors.sol; a test keeps it equal to the artifact's."""

HEALTHS = frozenset({"NotTriggered", "NotImproved", "TargetMissed", "MaxHealthExceeded"})
"""Their values are health factors in wad."""
SELECTORS: dict[bytes, str] = {selector(f"{n}({','.join(t.kinds)})"): n for n, t in TABLE.items()}
AAVE_V3 = (
    "FlashloanDisabled", "HealthFactorLowerThanLiquidationThreshold", "InvalidAmount", "LtvValidationFailed",
    "MustNotLeaveDust", "NoDebtOfSelectedType", "NotEnoughAvailableUserBalance",
    "PriceOracleSentinelCheckFailed", "ReserveFrozen", "ReserveInactive", "ReservePaused", "SupplyCapExceeded",
)  # fmt: skip
"""Errors of Aave v3.5 and later (Errors.sol) that a rescue can meet; they come through as they are."""
COMPOUND_V3 = ("BadPrice", "NotCollateralized", "Paused", "Unauthorized")
"""Errors of Comet that a rescue can meet."""
MAKER = ("NotExecutor(address)", "VaultUnknown(uint256,address)")
"""Errors of MakerBooks, behind a MakerExecutor; the Vat itself speaks in text."""
GMX_V2 = {
    "PositionClosed(bytes32)": "position_closed",
    "OrderWaits(bytes32)": "order_pending",
    "OrderUnknown(bytes32)": "order_unknown",
    "BadFee(uint256,uint256,uint256)": "fee_cap",
    "PriceStale(address,uint256)": "no_price",
    "PriceOutOfBound(uint256,uint256)": "price_bound",
    "TooLittle(uint256,uint256)": "too_little",
    "MayNotClose(bytes32)": "may_not_close",
}
"""Errors of GmxV2Executor beside those it shares, and what each is called here."""
NAMES: dict[bytes, str] = {
    **{s: f"Executor: {n} ({TABLE[n].code})" for s, n in SELECTORS.items()},
    **{selector(f"{n}()"): f"Aave: {n}" for n in AAVE_V3},
    **{selector(f"{n}()"): f"Compound: {n}" for n in COMPOUND_V3},
    **{selector(n): f"MakerBooks: {n.partition('(')[0]}" for n in MAKER},
    **{selector(n): f"GmxV2Executor: {n.partition('(')[0]} ({c})" for n, c in GMX_V2.items()},
    selector(MAKER[1]): "MakerBooks: VaultUnknown (vault_given_away)",
}
"""What a simulation that reverts is told as."""


def code_of(fault: Fault) -> str:
    """The stable code of a refusal."""
    return TABLE[fault.name].code


def words_of(fault: Fault) -> str:
    """A refusal in words, its name behind it."""
    healths = fault.name in HEALTHS
    shown = [
        "0x" + v.hex() if isinstance(v, bytes) else health_text(v) if healths and isinstance(v, int) else v
        for v in fault.values
    ]
    return f"{TABLE[fault.name].words.format(*shown)} ({fault.name})"

"""Story files: which positions exist, what the keeper has, and how prices and gas move block by block.

A file is TOML (``anvil/scenarios/*.toml``). Prices are multiples of the market's start price, so a step reads
without the ones before it; an asset that a step does not name keeps its price.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from anvil import shock
from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.deploy_aave_v3 import EMODES, RESERVES, EModeSettings, ReserveSettings
from anvil.deployment import Deployment
from anvil.tools import HERE

SCENARIOS_DIR = HERE / "scenarios"
GWEI = 10**9

_Positive = Annotated[Decimal, Field(gt=0)]
_NotNegative = Annotated[Decimal, Field(ge=0)]
_FORBID = ConfigDict(extra="forbid")


class ScenarioError(Exception):
    """A story file cannot be played; each line names file, field and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A borrower of the story, opened twice: once guarded, once as its unprotected twin."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    label: Annotated[str, Field(min_length=1)]
    collateral: Annotated[Mapping[str, _Positive], Field(min_length=1)]
    """Whole tokens by symbol."""
    debt: Annotated[Mapping[str, _Positive], Field(min_length=1)]
    """Shares of the debt's value by symbol; together 1."""
    health: Annotated[Decimal, Field(gt=1)]
    """At the start; the debt is sized so that it is not above it by more than rounding."""
    emode: str = ""
    """Label of an e-mode category, empty for the ordinary regime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """What the keeper's wallet holds at the start, in whole tokens."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    native: _NotNegative
    tokens: Mapping[str, _NotNegative] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStep:
    """One oracle update: it lands in a block of its own, with that block's base fee."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    why: str = ""
    prices: Mapping[str, _Positive] = field(default_factory=dict)
    """Multiples of the start price by symbol; empty is a rest."""
    base_fee: _Positive = Decimal(1)
    """Multiple of the story's ordinary base fee, for this block and the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A whole story."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    name: str
    title: str
    seconds_per_block: Annotated[int, Field(gt=0)]
    base_fee_gwei: _Positive
    keeper: Funding
    borrower: tuple[Role, ...]
    step: tuple[BlockStep, ...]

    def base_fee_wei(self, index: int) -> int:
        """Base fee of the blocks of step ``index``."""
        return int(self.base_fee_gwei * GWEI * self.step[index].base_fee)

    def prices_usd8(self, index: int) -> dict[str, int]:
        """Every asset's price after step ``index`` (-1: at the start), floored to 8 decimals."""
        prices = {r.symbol: r.price_usd8 for r in RESERVES}
        start = dict(prices)
        for step in self.step[: index + 1]:
            for symbol, multiple in step.prices.items():
                prices[symbol] = int((start[symbol] * multiple).to_integral_value(ROUND_DOWN))
        return prices


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A guarded position and its twin: identical, on two accounts."""

    label: str
    guarded: str
    twin: str
    borrower: Borrower
    """As opened on the guarded account."""


def load_scenario(name_or_path: str) -> Scenario:
    """A shipped story by name, or any file by path. Raises ScenarioError listing every problem."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = SCENARIOS_DIR / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in SCENARIOS_DIR.glob("*.toml")))
        raise ScenarioError(
            f"{name_or_path}: no such scenario; shipped: {known}, or give a path to a .toml file"
        )
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as bad:
        raise ScenarioError(f"{path}: not TOML: {bad}") from bad
    try:
        scenario = TypeAdapter(Scenario).validate_python(data)
    except ValidationError as bad:
        lines = [f"{path}: {_where(e['loc'])} = {e['input']!r}: {e['msg']}" for e in bad.errors()]
        raise ScenarioError("\n".join(lines)) from bad
    problems = _problems(scenario)
    if problems:
        raise ScenarioError("\n".join(f"{path}: {problem}" for problem in problems))
    return scenario


def sized(role: Role, account: str) -> Borrower:
    """``role`` in units at the market's start prices, debt rounded down. Raises ScenarioError."""
    reserves = {r.symbol: r for r in RESERVES}
    mode = next((m for m in EMODES if m.label == role.emode), None)
    collateral = {s: int(amount * 10 ** reserves[s].decimals) for s, amount in role.collateral.items()}
    values = {
        s: Decimal(u) * reserves[s].price_usd8 / 10 ** reserves[s].decimals for s, u in collateral.items()
    }
    weighted = sum((v * _threshold_bps(reserves[s], mode) for s, v in values.items()), Decimal(0)) / 10_000
    lendable = sum((v * _ltv_bps(reserves[s], mode) for s, v in values.items()), Decimal(0)) / 10_000
    if weighted / role.health > lendable:
        least = (weighted / lendable).quantize(Decimal("0.0001"), ROUND_UP)
        raise ScenarioError(
            f"borrower {role.label!r}: health = {role.health}: loan-to-value allows from {least} on"
        )
    debt = {
        s: int(weighted / role.health * share * 10 ** reserves[s].decimals / reserves[s].price_usd8)
        for s, share in role.debt.items()
    }
    return Borrower(account=account, collateral=collateral, debt=debt, emode=mode.id if mode else 0)


def open_pairs(actors: Actors, scenario: Scenario) -> tuple[Pair, ...]:
    """Open every position twice, on unlocked accounts; the node must mine by itself."""
    free = actors.market.roles.actors
    pairs = []
    for i, role in enumerate(scenario.borrower):
        guarded, twin = free[2 * i], free[2 * i + 1]
        actors.open(sized(role, guarded))
        actors.open(sized(role, twin))
        pairs.append(Pair(label=role.label, guarded=guarded, twin=twin, borrower=sized(role, guarded)))
    return tuple(pairs)


def fund(actors: Actors, scenario: Scenario, wallet: str) -> None:
    """Give the keeper's wallet what the story says: native set, tokens minted."""
    actors.chain.rpc("anvil_setBalance", wallet, hex(int(scenario.keeper.native * 10**18)))
    for symbol, amount in scenario.keeper.tokens.items():
        actors.mint(symbol, wallet, int(amount * actors.market.token(symbol).unit))


def submit_step(chain: Chain, market: Deployment, scenario: Scenario, index: int) -> tuple[str, ...]:
    """Hand in the oracle update of step ``index`` and set the next block's base fee; mine to make it so."""
    before, after = scenario.prices_usd8(index - 1), scenario.prices_usd8(index)
    shock.set_base_fee(chain, scenario.base_fee_wei(index))
    moved = {symbol: price for symbol, price in after.items() if price != before[symbol]}
    return shock.set_prices(chain, market, moved, wait=False)


def _threshold_bps(reserve: ReserveSettings, mode: EModeSettings | None) -> int:
    return mode.threshold_bps if mode and reserve.symbol in mode.collateral else reserve.threshold_bps


def _ltv_bps(reserve: ReserveSettings, mode: EModeSettings | None) -> int:
    return mode.ltv_bps if mode and reserve.symbol in mode.collateral else reserve.ltv_bps


def _problems(scenario: Scenario) -> list[str]:
    """What a type cannot say: unknown symbols and labels, shares, positions that cannot be opened."""
    known = {r.symbol for r in RESERVES}
    modes = {m.label: m for m in EMODES}
    named: list[tuple[str, Mapping[str, Decimal]]] = [("keeper.tokens", scenario.keeper.tokens)]
    for i, role in enumerate(scenario.borrower):
        named += [(f"borrower[{i}].collateral", role.collateral), (f"borrower[{i}].debt", role.debt)]
    named += [(f"step[{i}].prices", step.prices) for i, step in enumerate(scenario.step)]
    problems = [
        f"{where} = {symbol!r}: not in the market ({', '.join(sorted(known))})"
        for where, table in named
        for symbol in table
        if symbol not in known
    ]
    if not scenario.borrower:
        problems.append("borrower = []: at least one [[borrower]] is needed")
    if not scenario.step:
        problems.append("step = []: at least one [[step]] is needed")
    labels = [role.label for role in scenario.borrower]
    for i, role in enumerate(scenario.borrower):
        if labels.count(role.label) > 1:
            problems.append(f"borrower[{i}].label = {role.label!r}: used twice")
        if role.emode and role.emode not in modes:
            problems.append(f"borrower[{i}].emode = {role.emode!r}: not an e-mode ({', '.join(modes)})")
        elif role.emode and not set(role.debt) <= set(modes[role.emode].borrowable):
            problems.append(f"borrower[{i}].debt = {sorted(role.debt)}: not all borrowable in {role.emode!r}")
        if sum(role.debt.values()) != 1:
            problems.append(f"borrower[{i}].debt = {sum(role.debt.values())}: the shares must add up to 1")
    if not problems:
        for role in scenario.borrower:
            try:
                sized(role, "")
            except ScenarioError as bad:
                problems.append(str(bad))
    return problems


def _where(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text

"""Story files of perpetual positions: what is held on which side, and how one price moves update by update."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from anvil.scenario import SCENARIOS_DIR, ScenarioError

VENUE = "gmx_v2_double"
"""How a story file says that it is one of these."""
_FORBID = ConfigDict(extra="forbid")
_Positive = Annotated[Decimal, Field(gt=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A position of the story, opened twice: guarded, and as its unprotected twin."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    label: Annotated[str, Field(min_length=1)]
    side: Literal["long", "short"]
    size_usd: Annotated[int, Field(gt=0)]
    margin_usd: Annotated[int, Field(gt=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One update of the feed, in a block of its own; the venue's keepers have the next one."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    eth: _Positive
    """Multiple of the start price."""
    why: str = ""
    base_fee: _Positive = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpScenario:
    """A whole story on the double."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    name: str
    title: str
    venue: Literal["gmx_v2_double"]
    seconds_per_block: Annotated[int, Field(gt=0)]
    base_fee_gwei: _Positive
    keeper_usdc: Annotated[int, Field(ge=0)]
    """What the keeper's wallet may add as margin."""
    strategies: Annotated[tuple[str, ...], Field(min_length=1)]
    position: Annotated[tuple[Held, ...], Field(min_length=1, max_length=4)]
    step: Annotated[tuple[Update, ...], Field(min_length=1)]

    def base_fee_wei(self, index: int) -> int:
        """Base fee of the blocks of step ``index``."""
        return int(self.base_fee_gwei * 10**9 * self.step[index].base_fee)


def load_perp_scenario(name_or_path: str) -> PerpScenario | None:
    """The story where the file tells of perpetual positions, else None. Raises ScenarioError with every problem."""
    path = Path(name_or_path)
    path = path if path.suffix == ".toml" else SCENARIOS_DIR / f"{name_or_path}.toml"
    try:
        data: Mapping[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None  # whoever reads the other stories says what is wrong with the file
    if data.get("venue") is None:
        return None
    try:
        story = TypeAdapter(PerpScenario).validate_python(data)
    except ValidationError as bad:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))} = {e['input']!r}: {e['msg']}" for e in bad.errors()]
        raise ScenarioError("\n".join(lines)) from bad
    labels = [p.label for p in story.position]
    if len(set(labels)) < len(labels):
        raise ScenarioError(f"{path}: position labels = {labels!r}: one is used twice")
    return story

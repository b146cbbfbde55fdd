"""The sheet of ``keeper leverage --prepare``: what it promises, as text and as the file that the owner signs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.cli.owner_grant import Wanted
    from keeper.executor.boost import Boost

NAME = "keeper: gear up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What is signed, and what it promises."""

    wanted: Wanted
    boost: Boost
    label: str
    deadline_s: int


def promise(found: Sheet) -> dict[str, object]:
    """What it leads to, at the prices of its block."""
    from keeper.units import wad_float

    boost = found.boost
    loan = boost.loan
    return {
        "position": found.label,
        "leverage_before": wad_float(loan.leverage_wad),
        "leverage_after": wad_float(boost.leverage_wad),
        "health_before": loan.weighted_base / loan.debt_base,
        "health_between": wad_float(boost.between_wad),
        "health_after": wad_float(boost.health_wad),
        "borrow": {"token": loan.owes.amount.token.symbol, "units": str(boost.borrow_units)},
        "supply": {"token": loan.buys.amount.token.symbol, "units": str(boost.least_units)},
        "surplus_units": str(boost.surplus_units),
        "lost_pct_max": boost.lost_bps / 100,
        "expires_s": found.deadline_s,
    }


def promise_text(found: Sheet) -> list[str]:
    """The same for a person."""
    from keeper.model import Amount
    from keeper.phrases import amount_text, minute_text

    said = promise(found)
    over = amount_text(Amount(token=found.boost.loan.buys.amount.token, units=found.boost.surplus_units))
    alone = "each call is mined alone: " if found.wanted.safe is None else "in one batch nobody sees it: "
    return [
        f"leverage {said['leverage_before']:.4f} -> {said['leverage_after']:.4f}, health {said['health_before']:.4f} "
        f"-> {said['health_after']:.4f}, at the prices of this block",
        f"{alone}health {said['health_between']:.4f} once it is borrowed and before it is supplied",
        f"at most {said['lost_pct_max']:g} % of what is borrowed is lost; at the quote of now {over} more stay in "
        "the wallet",
        f"the swap expires {minute_text(found.deadline_s)}",
    ]


def document(found: Sheet) -> dict[str, object]:
    """The file: for a Safe what Transaction Builder imports, with hashes; else the transactions in order."""
    from keeper.cli.owner_grant import safe_file

    if found.wanted.safe is not None:
        return {**safe_file(found.wanted), "promise": promise(found), "notes": list(found.wanted.notes)}
    return {
        "chainId": found.wanted.chain_id,
        "from": found.wanted.owner,
        "name": NAME,
        "transactions": [
            {
                "to": s.call.target,
                "value": "0",
                "data": "0x" + s.call.data.hex(),
                "signs": s.signs,
                "meaning": s.meaning,
            }
            for s in found.wanted.signings
        ],
        "promise": promise(found),
        "notes": list(found.wanted.notes),
    }


def clear(path: Path) -> None:
    """A sheet of an earlier run goes; any other file is left alone, and refused. ConfigError."""
    import json

    from keeper.errors import ConfigError

    try:
        if not path.exists() or not path.stat().st_size:
            return
        body = json.loads(path.read_text())
        if not isinstance(body, dict) or "promise" not in body:
            raise ConfigError((f"--prepare: {path} is no sheet of an earlier run: name another file",))
        path.unlink()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no sheet of an earlier run: name another file"
        raise ConfigError((f"--prepare: {path} cannot be replaced: {why}",)) from error


def write(path: Path, body: dict[str, object]) -> None:
    """Whole or not at all. ConfigError."""
    import json

    from keeper.errors import ConfigError

    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(json.dumps(body, indent=2) + "\n")
        draft.replace(path)
    except OSError as error:
        raise ConfigError((f"--prepare: {path} cannot be written: {error.strerror}",)) from error

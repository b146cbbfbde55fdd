"""The tables of one file, each validated on its own, so that one bad part hides no other."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from keeper.config import pairing, schema, telling
from keeper.config.canary import CanaryTable
from keeper.config.wording import did_you_mean, path_text, shown

At = tuple[str | int, ...]
Row = tuple[At, dict[str, object]]
T = TypeVar("T", bound=schema.Table)

_NESTED: dict[tuple[type[schema.Table], str], type[schema.Table]] = {
    (schema.Chain, "endpoints"): schema.Endpoint,
    (schema.PolicyTable, "caps"): schema.CapsTable,
    (pairing.PairTable, "hedge"): pairing.HedgeTable,
}
_SAY = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "list_type": "must be a list",
    "model_type": "must be a table",
    "dict_type": "must be a table",
}


class Parts:
    """Well-formed parts by their model, and every row as written; what is wrong goes to ``problems``."""

    def __init__(self, raw: dict[str, object], problems: list[str]) -> None:
        self._raw = raw
        self._problems = problems
        self.top = self._part(schema.File, raw, ())[0]
        self.live = raw.get("mode") == "live"
        self.chains = [self._part(schema.Chain, row, at)[0] for at, row in self._required("chains")]
        self.venues = [self._part(schema.Venue, row, at)[0] for at, row in self._required("venues")]
        self.positions = [self._part(schema.Position, row, at)[0] for at, row in self._required("positions")]
        self.policies, self.broken = self._policies()
        self.wallet = self._part(schema.Wallet, raw.get("wallet", {}), ("wallet",))[0]
        self.shocks = self._part(schema.Shocks, raw.get("shocks", {}), ("shocks",))[0]
        self.alarms = self._part(telling.AlarmTable, raw.get("alarms", {}), ("alarms",))[0]
        self.metrics = self._part(telling.MetricsTable, raw.get("metrics", {}), ("metrics",))[0]
        self.page = self._part(telling.PageTable, raw.get("page", {}), ("page",))[0]
        given = raw.get("standby")
        self.standby = None if given is None else self._part(schema.Standby, given, ("standby",))[0]
        given = raw.get("canary")
        self.canary = None if given is None else self._part(CanaryTable, given, ("canary",))[0]
        self.pairs = [(at, self._part(pairing.PairTable, row, at)[0]) for at, row in self._listed("pairs")]
        self.telegram = self._part(telling.TelegramTable, raw.get("telegram", {}), ("telegram",))[0]

    def rows(self, name: str) -> list[Row]:
        """The tables of a list as written, broken ones included (they exist, they are only wrong)."""
        return _rows(self._raw.get(name), (name,))

    def endpoints(self) -> list[Row]:
        """Every ``[[chains.endpoints]]`` as written, with its path."""
        found: list[Row] = []
        for at, chain in self.rows("chains"):
            found += _rows(chain.get("endpoints"), (*at, "endpoints"))
        return found

    def _required(self, name: str) -> list[Row]:
        given = self._raw.get(name, [])
        if not isinstance(given, list):
            self._problems.append(f"{name}: {shown(given)} must be a list of tables; write [[{name}]]")
        elif not given:
            self._problems.append(f"{name}: at least one is required; add a [[{name}]] table")
        return self.rows(name)

    def _listed(self, name: str) -> list[Row]:
        """The tables of a list that need not be there."""
        given = self._raw.get(name, [])
        if not isinstance(given, list):
            self._problems.append(f"{name}: {shown(given)} must be a list of tables; write [[{name}]]")
        return self.rows(name)

    def _policies(self) -> tuple[dict[str, schema.PolicyTable], dict[str, set[str]]]:
        """Policies by name, and for each the keys that are broken (and stand at their defaults here)."""
        given = self._raw.get("policies", {})
        if not isinstance(given, dict):
            self._problems.append(f"policies: {shown(given)} must be tables; write [policies.NAME]")
            given = {}
        found: dict[str, schema.PolicyTable] = {}
        broken: dict[str, set[str]] = {}
        for name, row in {"default": {}, **given}.items():
            part, broken[name] = self._part(schema.PolicyTable, row, ("policies", name))
            if part is None and isinstance(row, dict):
                known = set(schema.PolicyTable.model_fields) - broken[name]
                part = schema.PolicyTable.model_validate({k: v for k, v in row.items() if k in known})
            if part is not None:
                found[name] = part
        return found, broken

    def _part(self, model: type[T], raw: object, at: At) -> tuple[T | None, set[str]]:
        try:
            return model.model_validate(raw), set()
        except ValidationError as e:
            errors = e.errors()
        self._problems += [_line(model, at, e) for e in errors]
        return None, {str(e["loc"][0]) for e in errors if e["loc"]}


def _rows(given: object, at: At) -> list[Row]:
    rows = given if isinstance(given, list) else []
    return [((*at, i), row) for i, row in enumerate(rows) if isinstance(row, dict)]


def _line(model: type[schema.Table], at: At, error: ErrorDetails) -> str:
    """One pydantic error in the house's words. An unknown key's value is never shown: it may be a secret."""
    kind, loc, value, message = error["type"], error["loc"], error["input"], error["msg"]
    where = path_text((*at, *loc)) or "the file"
    if kind == "extra_forbidden":
        return f"{where}: unknown key{did_you_mean(str(loc[-1]), _keys(model, loc))}"
    if kind == "missing":
        hint = "; write schema = 1 as the first line" if loc == ("schema",) else ""
        return f"{where}: is required{hint}"
    if kind == "too_short":
        return f"{where}: at least one is required"
    said = _SAY.get(kind) or message.removeprefix("Value error, ").removeprefix("Input ")
    return f"{where}: {said}" if loc[-1:] in (("url",), ("ws_url",)) else f"{where}: {shown(value)} {said}"


def _keys(model: type[schema.Table], loc: At) -> list[str]:
    """The keys that the table holding ``loc`` knows."""
    for part in loc[:-1]:
        model = _NESTED.get((model, str(part)), model)
    return [f.alias or name for name, f in model.model_fields.items()]

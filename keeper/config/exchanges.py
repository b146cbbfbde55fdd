"""Which exchanges may be named: those with a reader of our own, and with the extra those that ccxt knows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from keeper.config.parts import Row
from keeper.config.wording import did_you_mean, path_text, shown

OWN = ("kraken", "coinbase", "bitstamp", "gemini")
"""Read by a few lines of ours each; a test keeps this equal to the readers."""
CCXT = "ccxt:"
EXTRA = "pip install --require-hashes -r requirements-tickers.lock"
MARKET = re.compile(
    r"[A-Za-z0-9._:/-]*(?:\{BASE\}|\{base\})[A-Za-z0-9._:/-]*(?:\{QUOTE\}|\{quote\})?[A-Za-z0-9._:/-]*"
)
"""How an exchange names a market, its two currencies in the letters that it uses."""


def ticker_problems(chains: Iterable[Row]) -> list[str]:
    """Names that nobody reads, and what an exchange read through ccxt needs besides."""
    out = []
    for at, chain in chains:
        given = chain.get("tickers")
        for i, row in enumerate(given if isinstance(given, list) else []):
            if isinstance(row, dict) and isinstance(name := row.get("name"), str):
                out += [f"{path_text((*at, 'tickers', i))}.{why}" for why in _wrong(name, row)]
    return out


def _wrong(name: str, row: dict[str, object]) -> list[str]:
    if not name.startswith(CCXT):
        extra = [
            f"{key}: is for an exchange read through ccxt; remove it"
            for key in ("market", "quote")
            if key in row
        ]
        known = name in OWN
        return (
            extra if known else [f"name: {shown(name)} is not known{did_you_mean(name, (*OWN, CCXT + 'ID'))}"]
        )
    id = name.removeprefix(CCXT)
    # a second name of one order book would agree with itself
    if own := next((o for o in OWN if id.startswith(o)), ""):
        return [f'name: {shown(name)} is an exchange with a reader of its own; name it "{own}"']
    known_ids = ccxt_ids()
    if known_ids is None:
        return [f"name: {shown(name)} is read through ccxt, which the extra installs: {EXTRA}"]
    out = [] if id in known_ids else [f"name: {shown(name)} is not known to ccxt{_nearest(id, known_ids)}"]
    market = row.get("market")
    if market is None:
        why = (
            'is required with ccxt: how the exchange names a market, e.g. "{BASE}-{QUOTE}" or "{base}{quote}"'
        )
        return [*out, f"market: {why}"]
    if isinstance(market, str) and not MARKET.fullmatch(market):
        why = "must hold {BASE} or {base}, then {QUOTE} or {quote} where the quote is not written out"
        return [*out, f"market: {shown(market)} {why}"]
    return out


def _nearest(id: str, known: Iterable[str]) -> str:
    """One near name, and not the list of a hundred."""
    near = did_you_mean(id, known)
    return near if near.startswith("; did") else "; see its list of exchanges"


def ccxt_ids() -> frozenset[str] | None:
    """Exchanges that the installed ccxt has asynchronous code for; None where it is not installed.

    By its files: to import it costs over a second, which nobody pays for a look at a configuration.
    """
    spec = find_spec("ccxt")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        return None
    files = (f for place in places for f in (Path(place) / "async_support").glob("*.py"))
    return frozenset(f.stem for f in files if f.stem != "__init__")

"""TOML text -> plain tables, refusing a raw key wherever it stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from keeper.config.wording import LONG_HEX, masked, path_text
from keeper.errors import ConfigError

PREFIXED_KEY = re.compile(r"0[xX][0-9a-fA-F]{64}")
SEED_PHRASE = re.compile(r"(?:[a-z]{3,8} ){11,23}[a-z]{3,8}")
"""BIP-39: 12 to 24 words of three to eight letters."""
REFUSED = (
    "looks like a raw private key or seed phrase, which never belongs in a configuration; "
    "treat it as leaked, move the funds, and name a keystore file in wallet.keystore instead"
)


def tables_from(text: str, path: Path) -> tuple[dict[str, object], list[str]]:
    """The parsed tables, and a problem for each raw key. Raises ConfigError when the text is not TOML."""
    comments = [
        f"{path.name} line {n}: {REFUSED}"
        for n, line in enumerate(text.splitlines(), 1)
        if "#" in line and PREFIXED_KEY.search(line[line.index("#") :])
    ]
    try:
        # Decimal keeps what the user wrote: 1.25 is 1.25, not its nearest binary fraction
        raw: dict[str, object] = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError((f"{path}: not valid TOML: {masked(str(e))}", *comments)) from None
    values = [
        f"{path_text(at)}: {REFUSED}"
        for at, leaf in _leaves(raw, ())
        if _secret(leaf) and not _market_id(at, leaf)
    ]
    return raw, values or comments


def _leaves(node: object, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Every value and every key below ``node`` with its path."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield (*at, key), key
            yield from _leaves(value, (*at, key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _leaves(value, (*at, i))
    else:
        yield at, node


def _market_id(at: tuple[str | int, ...], leaf: object) -> bool:
    """A market's id has the shape of a key, and one place where it belongs."""
    place = at[:1] == ("venues",) and at[2:] == ("market",)
    return place and isinstance(leaf, str) and PREFIXED_KEY.fullmatch(leaf) is not None


def _secret(leaf: object) -> bool:
    if isinstance(leaf, int):
        return leaf >= 2**128  # TOML reads an unquoted 0x... key as a number
    if not isinstance(leaf, str):
        return False
    if PREFIXED_KEY.search(leaf) or SEED_PHRASE.fullmatch(leaf.strip()):
        return True
    # some providers' URL tokens are 64 bare hex digits
    return "://" not in leaf and LONG_HEX.search(leaf) is not None

"""How a problem in the configuration is said: the field's path, its value, what to do. Never a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LONG_HEX = re.compile(r"(?:0[xX])?[0-9a-fA-F]{64,}")
"""32 bytes or more in hex: a private key, or something that must be treated as one."""
URL = re.compile(r"\b(?:https?|wss?)://\S+", re.IGNORECASE)


def masked(text: str) -> str:
    """``text`` without anything that could be a key or an endpoint's token."""
    return URL.sub("<url hidden>", LONG_HEX.sub("<hidden>", text))


def shown(value: object) -> str:
    """A short, masked form of a value for an error line; tables and lists are only named."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = masked(str(value))
    text = text if len(text) <= 80 else text[:77] + "..."
    return f'"{text}"' if isinstance(value, str) else text


def path_text(at: Iterable[str | int]) -> str:
    """``("positions", 0, "account")`` as ``positions[0].account``."""
    out = ""
    for part in at:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += f".{masked(part)}" if out else masked(part)
    return out


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` for the nearest known word, else ``; known: ...``."""
    names = sorted({masked(k) for k in known})
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known: {', '.join(names)}" if names else "; none is defined"

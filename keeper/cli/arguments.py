"""Options that several commands share, and the checks of what is typed on a command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from keeper.cli.endings import usage

Config = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
DryJournal = Annotated[
    bool, typer.Option("--dry-run", help="Read the dry-run's journal although the configuration says live.")
]
CONFIG = Path("keeper.toml")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
SLOT = re.compile(r"0x[0-9a-fA-F]{40}:0x[0-9a-fA-F]{40}:(long|short)")
"""GMX: market, margin token, side."""
MARKET_ID = re.compile(r"0x[0-9a-fA-F]{64}")


def address(argument: str, text: str) -> str:
    """``text`` as an EIP-55 address; one without any capital carries no checksum and is accepted. Exit 2."""
    from eth_utils.address import to_checksum_address

    if not ADDRESS.fullmatch(text):
        raise usage(argument, f'"{text}" is not an address: write 0x and 40 hex digits')
    right = str(to_checksum_address(text))
    if text not in (right, text.lower()):
        raise usage(argument, f'"{text}" is not a valid EIP-55 checksum address; did you mean {right}?')
    return right


def market_id(argument: str, text: str) -> str:
    """``text`` as a market's id of 32 bytes, in lower case, or as a slot of GMX. Exit 2."""
    if SLOT.fullmatch(text):
        return text
    if not MARKET_ID.fullmatch(text):
        raise usage(argument, "is not a market's id: write 0x and 64 hex digits")
    return text.lower()


def http_url(argument: str, text: str) -> str:
    """``text`` when it is an http(s) URL; never shown, it may hold a token. Exit 2."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text
        _ = parts.port
    except ValueError:
        fits = False
    if not fits:
        raise usage(argument, "is not a URL beginning with http:// or https://")
    return text

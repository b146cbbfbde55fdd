"""How every HTTP session of ours finds a name's address: as the system does, whatever else is installed."""

from __future__ import annotations

from typing import Any

import aiohttp


def connector(**limits: Any) -> aiohttp.TCPConnector:
    """For one session, made in the loop that uses it; ``limits`` as aiohttp's connector takes them.

    Where aiodns is installed (ccxt brings it) aiohttp would ask names by that, past the system's own files and rules:
    a name that resolves at the shell must resolve for the daemon.
    """
    return aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver(), **limits)

"""What one chain's loop is wired from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keeper.config import ChainSettings
from keeper.config.records import StandbySettings
from keeper.daemon.facts import Facts, Guarded
from keeper.daemon.pairs import Link
from keeper.journal.write import Journal
from keeper.model import Shock
from keeper.notify.alarm import Alarms
from keeper.seams import Clock, Sender, Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the loop is wired from."""

    chain: ChainSettings
    facts: Facts
    guarded: tuple[Guarded, ...]
    journal: Journal
    sender: Sender
    dry: bool
    """Nothing is sent; what would have been is filled on shadow positions."""
    alarms: Alarms
    clock: Clock
    strategies: tuple[Strategy, ...]
    shocks: tuple[Shock, ...]
    armed_digest: str
    """Arming holds for this configuration only."""
    standby: StandbySettings | None = None
    """Another machine acts first; None: this one does."""
    pairs: tuple[Link, ...] = ()
    """Loans with the shorts that hedge them."""
    safe_mode: bool = False
    """After repeated crashes: nothing that a rescue does not need."""
    live_endpoints: Callable[[], tuple[int, int]] = lambda: (1, 1)
    """(usable now, configured)."""
    old_head: Callable[[], str] = lambda: ""
    """Why the newest head, by its own time, is long past; empty while it is of now."""
    address: str | None = None
    """The key's that signs; None where nobody does."""

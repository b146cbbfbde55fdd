"""Out of a whole position, a loan or a perpetual one, before any other way: what every exit by price does."""

from __future__ import annotations

from dataclasses import replace

from keeper.model import Proposal, Refusal
from strategies.close_position import sold_out
from strategies.drawn import Need
from strategies.offer import open_need
from strategies.perp import Case, in_need
from strategies.reduce_perp import reduced


def leave(need: Need, who: str, why: str) -> Proposal | Refusal:
    """All of it closed, the why in front; or which step of that is not possible."""
    if need.position.perp is not None:
        at = in_need(need, who)
        if not isinstance(at, Case):
            return at
        found = reduced(at, at.perp.size_usd, first=True)
        return replace(found, why=f"{why}: {found.why}") if isinstance(found, Proposal) else found
    return open_need(need, who) or sold_out(need, who, why)

"""Leave a reduce-only stop on the venue itself: it closes the position while the daemon is dead."""

from __future__ import annotations

from keeper.model import (
    Amount,
    Block,
    Means,
    Outlook,
    PerpOrder,
    PlaceStop,
    Policy,
    Position,
    Proposal,
    Refusal,
)
from keeper.seams import Venue
from keeper.units import BPS, WAD, mul_div_down, mul_div_up
from strategies.drawn import Need
from strategies.perp import Case, case, proposed, said, taken_back

ACTIONS_KEPT = 5
"""Of the actions that the owner allows, so many are not spent on stops."""
DRIFT_BPS = 100
"""A stop further than this from where it belongs is taken back, and placed anew."""
SLIP_BPS = 1_000
"""A stop fires in a fall: it may be filled so much worse than its trigger."""


OWNERS = (
    "the owner's Executor gives two orders, margin in and size out, and no stop: the owner places it himself, by "
    "what `keeper grant --subaccount LABEL --stop` prints"
)


class StopOnVenue:
    """A stop at the price at which health is ``emergency``: the last word when nobody else speaks.

    Placed in calm times, renewed when margin or size moved its place; it never adds, it only closes. A stop that the
    owner placed is left alone, and none is placed beside it.
    """

    name = "stop_on_venue"
    stands_by = True
    """Asked while the position is in no need, too."""

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The order that rests, the cancellation of one that no longer fits, or why neither."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        at = case(need, self.name)
        if isinstance(at, Refusal):
            return at
        if at.perp.acting.bounds is not None:
            return at.refused("stop_not_supported", OWNERS)
        if not at.perp.stable:
            # its margin moves with the index, and the place of a stop with it: one that lies beyond the line is none
            return at.refused(
                "no_stop_price", "a stop has no fixed place where the margin is no dollar token"
            )
        if at.perp.acting.actions_left <= ACTIONS_KEPT:
            why = f"{at.perp.acting.actions_left} actions are left, {ACTIONS_KEPT} are kept for rescues"
            return at.refused("actions_kept", why)
        price = stop_price(at)
        if price is None:
            return at.refused("no_stop_price", "no price of the index brings this position to emergency")
        if at.perp.stop is not None:
            return _renewed(at, price)
        if at.perp.pending is not None or need.before_wad < policy.trigger_wad:
            return at.refused("not_calm", "a rescue is due or under way: a stop is placed in calm times")
        step = PlaceStop(
            amount=Amount(token=at.perp.index, units=at.perp.tokens),
            size_usd=at.perp.size_usd,
            trigger_price=price,
            worst_price=at.worst_price(price, SLIP_BPS),
            fee_wei=at.fee_wei(increases=False),
        )
        refused = venue.can(step, position, means)
        if refused is not None:
            return at.refused("venue_refuses", f"{refused.code}: {refused.why}")
        shown = price * 10**at.perp.index.decimals / 10**30
        why = f"{said(at, step, need.before_wad, '')}: a stop at {at.perp.index.symbol} {shown:.2f}"
        return proposed(at, step, why, 0.0)


def stop_price(at: Case) -> int | None:
    """The index price (dollars of one smallest unit) at which health is emergency; None where there is none.

    Health is affine over affine in one price: (a0 + a p) / b0 for a long, a0 / (b p) for a short.
    """
    perp, line_wad = at.perp, at.need.policy.emergency_wad
    exposure = perp.tokens * perp.index_price
    owed = sum(h.value_base for h in at.need.position.debt)
    held = sum(h.value_base for h in at.need.position.collateral)
    if perp.long:
        worth = mul_div_up(owed, line_wad, WAD) - (held - exposure)
        return worth // perp.tokens if worth > 0 else None
    worth = mul_div_down(held, WAD, line_wad)
    return mul_div_up(worth, 1, perp.tokens) if worth > 0 else None


def fits(at: Case, stop: PerpOrder, price: int) -> bool:
    """Whether a stop covers the position near to where it belongs."""
    off = abs(stop.trigger_price - price)
    return off * BPS <= price * DRIFT_BPS and stop.size_usd >= at.perp.size_usd


def _renewed(at: Case, price: int) -> Proposal | Refusal:
    stop = at.perp.stop
    assert stop is not None
    if not stop.ours:
        # tighter, or for a part: whoever placed it meant it so
        return at.refused(
            "stop_exists", f"{stop.key[:10]} rests on the venue, and is the owner's: left alone"
        )
    if stop.frozen:
        return taken_back(at, stop.key, "the venue froze it")
    if not fits(at, stop, price):
        return taken_back(at, stop.key, "margin or size moved the place where it belongs")
    return at.refused("stop_exists", f"order {stop.key[:10]} rests on the venue")

"""Whose height counts, where the endpoints of one chain tell different ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keeper.chain.endpoint import Endpoint, State
from keeper.seams import Clock

LAG_BLOCKS = 2
LAG_S = 3.0
"""On fast chains two blocks are nothing: the tolerance is this long, but never below LAG_BLOCKS."""
FAR_S = 86_400.0
"""So far behind is a node that was down for a day and catches up; farther apart they may be of two chains."""
STILL_S = 60.0
STILL_BLOCKS = 5
"""Who has told the same height for both this long and so many blocks stands still."""
CLIMB, CLIMB_BLOCKS = 4, 4
"""Who tells more than four times the blocks that a chain makes, and four, was behind and catches up."""


class Heights:
    """Compares what endpoints tell: who is behind, and who is ahead beyond belief.

    Whoever is behind another lags, and is not used: nobody travels back in time. But one endpoint's word must
    not blind a chain, so a height that stands still is not believed against a lower one that goes on at the chain's
    own pace, and was not behind before that height was told. And a height that is more than a day's blocks
    above another's is believed against it

    - unless it came there in one leap, or more endpoints stand with the lower one: so it is until another endpoint
      tells a height near it;
    - and always against one that stands still itself, or catches up: that one is no witness.

    What an endpoint told before it went out counts until it would stand still, because one that fails for a moment
    must not hand the chain to one that lags; a leap, and what serves another chain, counts no more at all.

    Of two that are far apart from their first word on, height alone cannot tell which is right: the higher is
    believed while it moves, for a node that syncs is likelier than one that proved its chain id and makes heights up.
    """

    def __init__(self, all_: Sequence[Endpoint], block_time_s: float, clock: Clock) -> None:
        self._all = all_
        self._block_time_s = block_time_s
        self._clock = clock
        self._lag_max = max(LAG_BLOCKS, math.ceil(LAG_S / block_time_s))
        self._far = math.ceil(FAR_S / block_time_s)
        self._still_s = max(STILL_S, STILL_BLOCKS * block_time_s)

    def note(self, endpoint: Endpoint, number: int) -> str:
        """Record a height that ``endpoint`` told; why it is not to be used, or ""."""
        others = {
            e: e.head_number
            for e in self._all
            if e is not endpoint
            and e.head_number is not None
            and e.state is not State.WRONG_CHAIN
            and (e.state is not State.OUT or (self._moves(e) and not e.leapt))
        }
        self._record(endpoint, number, tuple(others.values()))
        told = {**others, endpoint: number}
        best = max((h for e, h in others.items() if not self._doubtful(e, endpoint, told)), default=number)
        if number < best - self._lag_max:
            if endpoint.behind_s is None:
                endpoint.behind_s = self._clock.monotonic_s()
            return f"at block {number}, another has shown {best}"
        endpoint.behind_s = None
        under = max((h for e, h in others.items() if self._doubtful(endpoint, e, told)), default=None)
        return "" if under is None else f"at block {number}, which nobody bears out: another is at {under}"

    def _record(self, endpoint: Endpoint, number: int, others: Sequence[int]) -> None:
        now_s, before = self._clock.monotonic_s(), endpoint.head_number
        made = self._far + (now_s - endpoint.moved_s) / self._block_time_s
        leaps = before is not None and number - before > made
        if before is not None and number != before:
            pace = (now_s - endpoint.moved_s) / self._block_time_s
            endpoint.climbs = number - before > CLIMB_BLOCKS + CLIMB * pace
        borne_out = not others or any(abs(h - number) <= self._far for h in others)
        endpoint.leapt = (endpoint.leapt or leaps) and not borne_out
        if number != before:
            endpoint.head_number, endpoint.moved_s = number, now_s

    def _doubtful(self, high: Endpoint, low: Endpoint, told: dict[Endpoint, int]) -> bool:
        """Whether ``high`` is ahead of ``low`` beyond belief."""
        if told[high] - told[low] <= self._lag_max or not self._moves(low) or low.climbs:
            return False
        if told[high] - told[low] <= self._far:
            # who was behind before the higher one's last step lags in earnest, and a chain may halt
            return not self._moves(high) and not (low.behind_s is not None and low.behind_s < high.moved_s)
        more = self._company(told[high], told) - self._company(told[low], told)
        return more < 0 or (more == 0 and (high.leapt or not self._moves(high)))

    def _company(self, number: int, told: dict[Endpoint, int]) -> int:
        return sum(abs(h - number) <= self._far and not e.climbs for e, h in told.items())

    def _moves(self, endpoint: Endpoint) -> bool:
        return self._clock.monotonic_s() - endpoint.moved_s <= self._still_s

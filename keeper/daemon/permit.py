"""Whether anything may be sent now: armed, stopped, broken or closing."""

from __future__ import annotations

from keeper.daemon.parts import Parts
from keeper.daemon.standby import Standby
from keeper.daemon.stops import Stops
from keeper.errors import Broken, Unwritable
from keeper.model import Plan
from keeper.seams import Severity


class Permit:
    """What stands between a plan and the lane, for one chain."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.stops = Stops(parts.journal, parts.clock, parts.live_endpoints, parts.old_head)
        self.stops.address = parts.address
        self.closing = False
        """Set at shutdown: what is on the lane goes on, nothing new is sent."""
        wish, policies = parts.standby, {g.id: g.policy for g in parts.guarded}
        self.standby = None if wish is None else Standby(wish, policies)
        self.broken = ""
        """Why acting has stopped for good; empty while all is well."""
        self._whole = True
        """Whether the disk took everything since the running tick began."""
        self.unrecovered = False
        """Whether a start could not bring journal and chain together yet: a tick that is kept ends no stop before."""

    @property
    def armed(self) -> bool:
        """Dry-run always acts (on shadows); live only when armed for exactly this configuration."""
        if self.broken or self.stops.unwritable or self.stops.pause is not None:
            return False
        if self._parts.dry:
            return True
        control = self._parts.journal.control("armed")
        return control is not None and control.value == self._parts.armed_digest

    def on_paper(self, plan: Plan, armed: bool) -> str:
        """Why a plan is not handed over; empty when it may be. Narrowest scope first."""
        if (stop := self.stops.of(plan)) is not None:
            return f"{stop.code} ({stop.scope}): {stop.why}"
        if armed:
            return "" if self.standby is None else self.standby.waits(plan)
        return self.broken or "disarmed: `keeper arm` shows what would be done now, and arms"

    def begin(self) -> None:
        """A tick begins: what the disk refused before may be kept by now."""
        self._whole = True

    def kept(self) -> None:
        """The tick is written down: signing goes on, unless the disk refused something of this very tick."""
        if self._whole and not self.unrecovered:
            self.stops.unwritable = ""
            self._parts.alarms.clear("unwritable", "")

    def stop_acting(self, why: str | Broken) -> None:
        """An invariant failed: watch on, act no more, keep saying so; Unwritable lasts until a tick is kept."""
        if isinstance(why, Unwritable):
            self._whole = False
            self.stops.unwritable = str(why)
            self._parts.alarms.raise_alarm(Severity.CRITICAL, "unwritable", "", str(why))
            return
        self.broken = str(why)
        self._parts.alarms.raise_alarm(Severity.CRITICAL, "broken", "", str(why))

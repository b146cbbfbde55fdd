"""What may be signed for Maker vaults: the keeper's own proxy, two actions, the guarded vaults' numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.executor import vault


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedVault:
    """``execute`` of one proxy, which runs one contract's ``lockGem`` or ``wipe``; every argument has a rule."""

    target: str
    """The proxy."""
    actions: str
    manager: str
    join: str
    """The adapter: the collateral's, or Dai's."""
    wipes: bool
    numbers: frozenset[int]
    units_max: int
    """Of the token itself: the proxy actions take both amounts so, Dai in its own 18 decimals."""
    token: str = ""
    """What leaves the wallet; empty in a policy that was written before a rule could say it: counted as nothing."""

    @property
    def selector(self) -> bytes:
        """The only function."""
        return vault.EXECUTE

    def refuses(self, data: bytes) -> str | None:
        """Why this calldata is not allowed, or None."""
        call = vault.call_from(data)
        if isinstance(call, str):
            return call
        for name, said, right in (
            ("actions", call.actions, self.actions),
            ("manager", call.manager, self.manager),
            ("adapter", call.join, self.join),
        ):
            if said.lower() != right.lower():
                return f"execute: {name} {said} is not allowed"
        if call.wipes != self.wipes:
            return f"execute: {'wipe' if call.wipes else 'lockGem'} through {call.join} is not allowed"
        if call.vault not in self.numbers:
            return f"execute: vault {call.vault} is not guarded"
        if not 0 < call.units <= self.units_max:
            return f"execute: {call.units} is not within 1..{self.units_max}"
        return None

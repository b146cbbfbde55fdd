"""What is the same of both engines as Venues: who they are, a batch account by account, what steps leave of legs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from keeper.model import (
    AddMargin,
    Block,
    Holding,
    Position,
    PositionId,
    ReducePerp,
    Snapshot,
    Step,
    Supply,
    Token,
    Unreadable,
)
from keeper.seams import Reading, Seen, Shadow
from keeper.units import WAD
from keeper.words import Words
from tests.engines import venue


class Engine:
    """One perps system of one chain; what an engine says of its own stands in the class that extends this."""

    kind: str
    contract: str
    """Which names it."""
    spender: str
    first: int
    """Words of a batch before the accounts'."""
    width: int
    """Words of one account."""

    def __init__(self, chain_id: int, keeper: str, margin: Token) -> None:
        self.chain_id, self.keeper, self.margin = chain_id, keeper, margin

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.chain_id}:{self.contract}"

    @property
    def tokens(self) -> tuple[Token, ...]:
        return (self.margin,)

    def position_id(self, account: str) -> PositionId:
        return PositionId(venue=self.kind, chain_id=self.chain_id, account=account, key=self.contract)

    def feed(self, market: int | str) -> str:
        return f"{self.kind}:{self.chain_id}:{market}"

    def owner(self, account: str) -> str:
        return account

    def prices_wad(self, words: Words) -> Mapping[str, int]:
        """Feed -> dollars of one token."""
        raise NotImplementedError

    def standing(self, words: Words, at: int, account: str, now_s: int) -> venue.Standing:
        """One account from its words, which begin at ``at``."""
        raise NotImplementedError

    def after_step(self, step: Step, before: Position) -> venue.Standing:
        """What one step leaves."""
        raise NotImplementedError

    def decode(
        self,
        block: Block,
        accounts: Sequence[str],
        words: Words,
        seen: Seen,
        shadows: Mapping[PositionId, Shadow],
    ) -> Reading:
        positions, lost = list[Position](), list[Unreadable]()
        for n, account in enumerate(accounts):
            at, id = self.first + n * self.width, self.position_id(account)
            bad = [i for i in (*range(self.first), *range(at, at + self.width)) if not words.ok[i]]
            if bad:
                lost.append(Unreadable(id=id, why=f"call {bad[0]} failed", since_block=block.number))
                continue
            stands = self.standing(words, at, account, block.timestamp_s)
            positions.append(venue.position(id, self.owner(account), block.number, self.margin, stands))
        return Reading(
            positions=tuple(positions),
            unreadable=tuple(lost),
            reserves=(),
            prices={**{f: p / WAD for f, p in self.prices_wad(words).items()}, f"{self.kind}:usd": 1.0},
            seen=seen,
            again=False,
        )

    def after(self, steps: Sequence[Step], position: Position) -> Position:
        for step in steps:
            position = venue.restated(position, self.after_step(step, position))
        return position

    def fill(self, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
        raise NotImplementedError("a test engine has no dry-run")


def reduction(step: Step, position: Position) -> tuple[ReducePerp, Holding]:
    """The step with the leg that it closes. ValueError for any other step."""
    leg = venue.leg_of(step, position) if isinstance(step, ReducePerp) else None
    if leg is None or not isinstance(step, ReducePerp):
        raise ValueError(f"{step} is nothing that this venue does")
    return step, leg


def paid_in(step: Step, stands: venue.Standing, worth: int, needed: int = 0) -> venue.Standing | None:
    """The account with the margin of a top-up, wad dollars, and what is needed more for it; None of another step."""
    if not isinstance(step, AddMargin | Supply):
        return None
    return replace(stands, available=stands.available + worth, needed=stands.needed + needed)


def closed(step: Step, legs: Sequence[venue.Leg]) -> Iterator[tuple[venue.Leg, int]]:
    """Each leg with the units of it that a reduction closes. ValueError for any other step."""
    if not isinstance(step, ReducePerp):
        raise ValueError(f"{step} is nothing that this venue does")
    for leg in legs:
        yield leg, step.amount.units if leg.index == step.amount.token else 0


def reduced(
    step: Step,
    stands: venue.Standing,
    freed_of: Callable[[venue.Leg, int], int],
    paid_of: Callable[[venue.Leg, int], int],
) -> venue.Standing:
    """The account after a reduction that frees and costs so much of each leg, wad dollars."""
    legs, freed, paid = list[venue.Leg](), 0, 0
    for leg, units in closed(step, stands.legs):
        left = abs(leg.size) - units
        if units:
            freed, paid = freed + freed_of(leg, units), paid + paid_of(leg, units)
        if left:
            debt = -(-leg.debt * left // abs(leg.size))
            legs.append(replace(leg, size=left if leg.size > 0 else -left, debt=debt))
    return replace(
        stands,
        available=stands.available - paid,
        needed=max(stands.needed - freed, 1) if legs else 0,
        legs=tuple(legs),
    )

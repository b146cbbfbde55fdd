"""One chain's loop over doubles: snapshots given by hand, a sender that remembers, a real journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from keeper.chain.endpoint import EndpointStatus
from keeper.clock import ManualClock
from keeper.config import ChainSettings, PositionSettings, Settings, VenueSettings, WalletSettings
from keeper.daemon.control import Blind
from keeper.daemon.facts import Guarded
from keeper.daemon.loop import ChainLoop
from keeper.daemon.parts import Parts
from keeper.journal.write import Journal
from keeper.model import (
    Attempt,
    Block,
    Fee,
    Outcome,
    Plan,
    Policy,
    Position,
    Refusal,
    Snapshot,
)
from keeper.notify.alarm import Alarms
from keeper.seams import Alarm, Severity, Venue
from strategies.registry import SHIPPED
from tests import build
from tests.build import USDC, WETH, amount, collateral, debt
from tests.fakes import LendingDouble

DIGEST = "digest of the configuration"
CHAIN = ChainSettings(
    name="local",
    chain_id=build.CHAIN_ID,
    block_time_s=12.0,
    multicall=build.POOL,
    native_token=WETH.address,
    endpoints=(),
)


def vault(
    price: str = "2000", *, units: str = "10", owed: str = "10000", account: str = build.ALICE
) -> Position:
    """``units`` WETH at ``price`` against ``owed`` USDC: health 1.66 as it stands."""
    return build.position([collateral(WETH, units, price=price)], [debt(USDC, owed)], account=account)


class GivenFacts:
    """Facts as a test lays them out; an exception is raised instead of a snapshot."""

    def __init__(self) -> None:
        self.next: Snapshot | Exception = build.snapshot()
        self.outcomes: tuple[Outcome, ...] = ()
        self.filled: list[Plan] = []

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """What was laid out."""
        if isinstance(self.next, Exception):
            raise self.next
        return self.next, self.outcomes

    def acted(self, plan: Plan) -> None:
        """Remember it."""
        self.filled.append(plan)


class GivenSender:
    """Answers as told: with an attempt by default, a refusal, or an exception."""

    def __init__(self) -> None:
        self.answer: Refusal | Exception | None = None
        self.asked: list[Plan] = []

    async def act(self, plan: Plan, snapshot: Snapshot) -> Attempt | Refusal:
        """One answer."""
        self.asked.append(plan)
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, Refusal):
            return self.answer
        fee = Fee(gas_limit=300_000, max_fee_wei=10**10, tip_wei=10**9)
        return Attempt(key=plan.key, nonce=0, n=0, raw=b"", hash="0x01", fee=fee, sent_block=1)


@dataclass(kw_only=True)
class Loop:
    """A loop with its doubles; ``chain``, ``loop`` and ``blind`` as ``keeper.daemon.control`` asks for them."""

    loop: ChainLoop | None
    facts: GivenFacts
    sender: GivenSender
    journal: Journal
    clock: ManualClock
    alarms: Alarms
    chain: ChainSettings = CHAIN
    blind: Blind | None = None
    number: int = 100
    endpoints: tuple[EndpointStatus, ...] = ()

    def endpoint_status(self) -> tuple[EndpointStatus, ...]:
        """As a test lays them out."""
        return self.endpoints

    @property
    def running(self) -> ChainLoop:
        """The loop, which is there."""
        assert self.loop is not None
        return self.loop

    @property
    def said(self) -> list[tuple[str, str]]:
        """(severity, code) of every alarm entry."""
        return [(str(e.data["severity"]), str(e.data["code"])) for e in self.journal.entries("alarm")]

    def lay(self, *positions: Position, wallet: Sequence[str] = ("20000",), native: str = "10") -> Block:
        """The next block shows these positions, and a wallet with that much USDC."""
        self.number += 1
        at = build.block(self.number)
        means = build.means([amount(USDC, units) for units in wallet], native=native)
        shown = tuple(_at(p, self.number) for p in positions)
        holdings = [h for p in shown for h in (*p.collateral, *p.debt)]
        prices = {h.feed: h.price_base / 10**build.BASE_DECIMALS for h in holdings}
        self.facts.next = replace(build.snapshot(shown, wallet=means, at=at), prices=prices)
        return at


def _at(position: Position, number: int) -> Position:
    return replace(position, block_number=number)


def loop(
    home: Path, *, dry: bool = False, policy: Policy | None = None, accounts: Sequence[str] = (build.ALICE,)
) -> Loop:
    """A loop that guards ``accounts``; never armed."""
    clock = ManualClock(1_000.0)
    journal = Journal.open(home / "journal.sqlite", clock)
    alarms = Alarms(journal.record, clock, build.CHAIN_ID)
    facts, sender, venue = GivenFacts(), GivenSender(), LendingDouble()
    guarded = tuple(
        Guarded(
            label=f"vault {i}", policy=policy or build.policy(), venue_id=venue.id, id=build.position_id(a)
        )
        for i, a in enumerate(accounts, 1)
    )
    parts = Parts(
        chain=CHAIN,
        facts=facts,
        guarded=guarded,
        journal=journal,
        sender=sender,
        dry=dry,
        alarms=alarms,
        clock=clock,
        strategies=SHIPPED,
        shocks=(),
        armed_digest=DIGEST,
    )
    made = ChainLoop(parts, {venue.id: venue})
    return Loop(loop=made, facts=facts, sender=sender, journal=journal, clock=clock, alarms=alarms)


def settings(home: Path, mode: str = "live") -> Settings:
    """The configuration that such a loop would have come from."""
    return Settings(
        path=home / "keeper.toml",
        mode=mode,
        state_dir=home,
        chains=(CHAIN,),
        venues=(VenueSettings(name="double", kind="double", chain="local", provider=build.POOL),),
        positions=(PositionSettings(label="vault 1", venue="double", account=build.ALICE, policy="default"),),
        policies=(build.policy(),),
        wallet=WalletSettings(address=build.WALLET, keystore=None, password_file=None),
        shocks_pct=(),
        digest=DIGEST,
    )


@dataclass
class Heard:
    """The ``Alarm`` seam as two lists."""

    raised: list[tuple[Severity, str, str, str]] = field(default_factory=list)
    cleared: list[tuple[str, str]] = field(default_factory=list)

    def raise_alarm(self, severity: Severity, code: str, subject: str, why: str) -> None:
        """Remember it."""
        self.raised.append((severity, code, subject, why))

    def clear(self, code: str, subject: str) -> None:
        """Remember it."""
        self.cleared.append((code, subject))


def heard() -> Heard:
    """A fresh one, checked against the seam."""
    made = Heard()
    seam: Alarm = made
    assert seam is made
    return made

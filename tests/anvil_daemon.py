"""A stage with one real daemon on it, and all that a test may look at: status, journal, log, commands."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anvil import shock
from anvil.abi import encode_call
from anvil.actors import Actors, Borrower
from anvil.compile import compile_aave
from anvil.demo import nonce
from anvil.deploy_aave_v3 import deploy_aave_v3
from anvil.guard import START_S, Guard
from anvil.stage import Stage
from keeper.clock import SystemClock
from keeper.config import Settings, load
from keeper.granting import grant
from keeper.journal.read import Reader
from keeper.journal.write import Journal
from keeper.model import Entry, Intent, IntentState
from tests.command import typed

ROOT = Path(__file__).resolve().parents[1]
MINED = (IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL)
WAIT_S = 90.0
GRANTS = {"USDC": "60000", "WETH": "20"}


def armed(on: Stage) -> None:
    """Grant the wallet's means to the pool, and arm the configuration before the daemon starts."""
    settings = load(on.config)
    asyncio.run(grant(settings, GRANTS, True))
    with Journal.open(settings.journal_path, SystemClock()) as journal:
        journal.set_control("armed", settings.digest, "test", "for the night")


def rewritten(on: Stage, changes: Mapping[str, str]) -> None:
    """The stage's configuration with each text replaced; every one must be there."""
    text = on.config.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    on.config.write_text(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One daemon living through the blocks that a test makes by hand."""

    on: Stage
    guard: Guard
    settings: Settings

    def block(self) -> dict[str, Any]:
        """Mine one block, wait until the daemon has judged it and acted; its view."""
        return self.guard.caught_up(self.on.chain.mine().number)

    def falls(self, **shares: float) -> dict[str, Any]:
        """Prices at these shares of their start, in one block."""
        self.submit_prices(**shares)
        return self.block()

    def submit_prices(self, **shares: float) -> None:
        """Prices at these shares of their start, for the next block."""
        start = self.on.scenario.prices_usd8(-1)
        moved = {s: int(start[s] * share) for s, share in shares.items()}
        shock.set_prices(self.on.chain, self.on.market, moved, wait=False)

    def position(self, label: str, view: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A position as the daemon's status shows it."""
        chain = view or self.guard.ask({"do": "status"})["chains"][0]
        return next(dict(p) for p in chain["positions"] if p["label"] == label)

    def health(self, label: str) -> int:
        """The pool's own health of a guarded account."""
        return self.on.actors.account(self.account(label)).health_wad

    def account(self, label: str) -> str:
        """The guarded account of that label."""
        return next(p.guarded for p in self.on.pairs if p.label == label)

    def entries(self, kind: str, label: str | None = None) -> list[Entry]:
        """Journal rows, oldest first; of one position when ``label`` is given."""
        with Reader.open(self.settings.journal_path) as journal:
            found = journal.entries(kind, limit=10_000)
        return [e for e in found if label is None or self.account(label) in e.subject]

    def intents(self, label: str) -> list[Intent]:
        """What was ever planned for a position."""
        with Reader.open(self.settings.journal_path) as journal:
            return [i for i in journal.intents() if i.key.position.account == self.account(label)]

    def rescues(self, label: str) -> int:
        """Actions that the chain has included."""
        return sum(i.state in MINED for i in self.intents(label))

    def alarms(self, label: str, code: str) -> list[str]:
        """Severities of an alarm about a position, as journaled; the log must have said each of them too."""
        # the daemon writes one after the other: a moment between the two is not a disagreement
        until(lambda: self._journaled(label, code) == self._told(label, code))
        return [severity for severity, _ in self._journaled(label, code)]

    def _journaled(self, label: str, code: str) -> list[tuple[str, str]]:
        found = self.entries("alarm", label)
        return [(str(e.data["severity"]), e.why) for e in found if e.data["code"] == code]

    def _told(self, label: str, code: str) -> list[tuple[str, str]]:
        told = [line for line in self.logged("alarm") if line["code"] == code]
        return [(line["severity"], line["why"]) for line in told if self.account(label) in line["subject"]]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Lines of the daemon's log."""
        return logged(self.guard, event)

    @property
    def nonce(self) -> int:
        """Transactions that the keeper's wallet has sent."""
        return nonce(self.on)


@contextmanager
def night(on: Stage, *arguments: str) -> Iterator[Night]:
    """Start ``keeper run`` on the stage; blocks are made by hand while it lives."""
    on.chain.rpc("evm_setAutomine", False)
    with Guard(on.config, *arguments) as guard:
        guard.caught_up(on.chain.block().number, within_s=START_S)
        yield Night(on=on, guard=guard, settings=load(on.config))


def logged(guard: Guard, event: str) -> list[dict[str, Any]]:
    """The structured lines of one event in a daemon's log."""
    lines = [json.loads(x) for x in guard.log.read_text().splitlines() if x.startswith("{")]
    return [x for x in lines if x["event"] == event]


def keeper(on: Stage, *line: str) -> subprocess.CompletedProcess[str]:
    """A command as a user types it, on the stage's configuration."""
    return typed(on.folder, *line, "--config", str(on.config))


def submit(on: Stage, to: str, signature: str, *arguments: object) -> None:
    """Hand in a transaction of the market's owner, for the next block."""
    on.chain.submit(on.market.roles.deployer, to, encode_call(signature, *arguments))


def second_market(on: Stage) -> Actors:
    """Another market on the same chain, with tokens of its own and cash to borrow."""
    made = deploy_aave_v3(on.chain, compile_aave(), on.market.roles.treasury)
    market = replace(
        on.market,
        provider=made.provider,
        pool=made.pool,
        configurator=made.configurator,
        oracle=made.oracle,
        data_provider=made.data_provider,
        acl=made.acl,
        tokens=made.tokens,
    )
    actors = Actors(on.chain, market)
    actors.supply(market.roles.lender, "USDC", 10**6 * market.token("USDC").unit)
    return actors


def owes(actors: Actors, account: str) -> None:
    """Open a position with debt."""
    units = {s: actors.market.token(s).unit for s in ("WETH", "USDC")}
    actors.open(
        Borrower(account=account, collateral={"WETH": 2 * units["WETH"]}, debt={"USDC": 900 * units["USDC"]})
    )


def until(holds: Callable[[], bool], within_s: float = WAIT_S) -> None:
    """Wait for something that the daemon does in its own time."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.1)

"""A chain with one venue on it that is not Aave: read as the daemon reads it, and guarded by a real daemon."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anvil.client import Chain
from anvil.guard import START_S, Guard
from anvil.node import Anvil
from anvil.stage import CAPS, keystore
from anvil.transport import ChainTransport
from keeper.chain.batch import Batch
from keeper.clock import SystemClock
from keeper.config import Settings, VenueSettings, load
from keeper.granting import grant
from keeper.journal.read import Reader as JournalReader
from keeper.journal.write import Journal
from keeper.model import Block, Call, Entry, Intent, IntentState, Position, Snapshot
from keeper.seams import Seen, Venue
from keeper.snapshot import GatherRequest, gather
from keeper.venues import registry
from keeper.words import Words

WALLET_WEI = 10**20
POLICY = 'warn = "1.35"\ntrigger = "1.20"\ntarget = "1.30"\nemergency = "1.08"\nhysteresis = "0.02"'
TIGHT = 'warn = "1.05"\ntrigger = "1.03"\ntarget = "1.04"\nemergency = "1.01"\nhysteresis = "0.005"'


class VenueReader:
    """One venue of a test chain, read as the daemon reads it."""

    def __init__(self, chain: Chain, settings: VenueSettings, multicall: str) -> None:
        self.chain, self._settings, self._multicall = chain, settings, multicall
        self._seen: Mapping[str, Seen] = {}
        self.venue: Venue = asyncio.run(
            registry.load(settings, chain.block().chain_id, self.read(chain.block()))
        )

    def read(self, block: Block) -> Callable[[Sequence[Call]], Awaitable[Words]]:
        """One multicall at ``block``."""
        transport = ChainTransport(self.chain)

        async def read(calls: Sequence[Call]) -> Words:
            return await Batch(calls).read(transport, self._multicall, block.hash, timeout_s=60.0)

        return read

    def snapshot(self, accounts: Sequence[str], *, wallet: str | None = None) -> Snapshot:
        """The newest block's; remembers what was seen."""
        block = self.chain.block()
        snapshot, self._seen = asyncio.run(
            gather(
                GatherRequest(
                    chain_id=block.chain_id,
                    block=block,
                    venues=((self.venue, tuple(accounts)),),
                    multicall=self._multicall,
                    read=self.read(block),
                    wallet=wallet,
                    seen=self._seen,
                )
            )
        )
        return snapshot

    def position(self, account: str) -> Position:
        """One account's. AssertionError with the reason when it is unreadable."""
        snapshot = self.snapshot([account])
        found = snapshot.position(self.venue.position_id(account))
        assert found is not None, snapshot.unreadable
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A keeper's home for one venue: configuration, wallet, chain."""

    folder: Path
    node: Anvil
    chain: Chain
    wallet: str
    config: Path
    settings: Settings

    def intents(self) -> list[Intent]:
        """Rescues that were ever planned."""
        with JournalReader.open(self.settings.journal_path) as journal:
            return [i for i in journal.intents() if not str(i.key).startswith("grant:")]

    def entries(self, kind: str) -> list[Entry]:
        """Journal rows of that kind."""
        with JournalReader.open(self.settings.journal_path) as journal:
            return list(journal.entries(kind, limit=10_000))

    def alarms(self) -> list[tuple[str, str]]:
        """(code, subject) of every alarm, as journaled."""
        return [(str(e.data["code"]), e.subject) for e in self.entries("alarm")]

    def rescues(self, account: str) -> list[str]:
        """Strategies of an account's rescues that the chain has included, in order."""
        ended = (IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL)
        found = [i for i in self.intents() if i.state in ended and i.key.position.account == account]
        return [i.plan.strategy for i in sorted(found, key=lambda i: i.key.seq)]


def home(
    folder: Path,
    node: Anvil,
    chain: Chain,
    venues: Sequence[tuple[VenueSettings, Mapping[str, str]]],
    *,
    multicall: str,
    native: str | None = None,
    mode: str = "live",
    tight: Sequence[str] = (),
    terms: str = POLICY,
) -> Guarded:
    """Write keeper.toml and a funded wallet; each venue with its guarded accounts by label.

    ``tight``: labels under the policy of a loop that starts at 1.05.
    """
    wallet = keystore(folder)
    chain.rpc("anvil_setBalance", wallet, hex(WALLET_WEI))
    text = f"""schema = 1
mode = {json.dumps(mode)}
state_dir = {json.dumps(str(folder / "state"))}
[wallet]
address = {json.dumps(wallet)}
keystore = {json.dumps(str(folder / "keystore.json"))}
password_file = {json.dumps(str(folder / "password"))}
[[chains]]
name = "local"
chain_id = {chain.block().chain_id}
block_time_s = 12
multicall = {json.dumps(multicall)}
{f"native_token = {json.dumps(native)}" if native else ""}
[[chains.endpoints]]
name = "anvil"
url = {json.dumps(node.url)}
ws_url = {json.dumps(node.ws_url)}
rate_per_s = 1000
"""
    text += "".join(venue_text(venue, accounts, tight) for venue, accounts in venues)
    for name, told in (("default", terms), ("tight", TIGHT)):
        text += f"[policies.{name}]\n{told}\ncooldown_blocks = 2\n[policies.{name}.caps]\n"
        text += "\n".join(CAPS) + "\n"
    config = folder / "keeper.toml"
    config.write_text(text)
    return Guarded(folder=folder, node=node, chain=chain, wallet=wallet, config=config, settings=load(config))


def venue_text(venue: VenueSettings, accounts: Mapping[str, str], tight: Sequence[str]) -> str:
    """A venue with its guarded accounts by label, as a configuration names them."""
    extra = "".join(
        f"{key} = {json.dumps(list(value) if isinstance(value, tuple) else value)}\n"
        for key in ("market", "usd_feed", "proxy", "vaults", "reader", "subaccount")
        if (value := getattr(venue, key))
    )
    if venue.kind == "maker":
        name = bytes.fromhex((venue.market or "0x")[2:]).rstrip(b"\0").decode()
        extra = extra.replace(venue.market or "", name)
    text = f"""[[venues]]
name = {json.dumps(venue.name)}
kind = {json.dumps(venue.kind)}
chain = {json.dumps(venue.chain)}
provider = {json.dumps(venue.provider)}
{extra}"""
    for label, account in accounts.items():
        text += f"[[positions]]\nlabel = {json.dumps(label)}\nvenue = {json.dumps(venue.name)}\n"
        text += f'account = {json.dumps(account)}\npolicy = "{"tight" if label in tight else "default"}"\n'
    return text


def armed(at: Guarded, grants: Mapping[str, str]) -> None:
    """Approve the venue, and arm the configuration before the daemon starts."""
    asyncio.run(grant(at.settings, grants, True))
    with Journal.open(at.settings.journal_path, SystemClock()) as journal:
        journal.set_control("armed", at.settings.digest, "test", "for the night")


@contextmanager
def running(at: Guarded) -> Iterator[Callable[[], dict[str, Any]]]:
    """``keeper run``; the yielded function mines one block and waits until the daemon has judged it."""
    at.chain.rpc("evm_setAutomine", False)
    try:
        with Guard(at.config) as guard:
            guard.caught_up(at.chain.block().number, within_s=START_S)

            def block() -> dict[str, Any]:
                return guard.caught_up(at.chain.mine().number)

            yield block
    finally:
        at.chain.rpc("evm_setAutomine", True)

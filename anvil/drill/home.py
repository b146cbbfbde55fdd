"""A keeper's home for a drill: the user's own configuration with a throwaway key, in a folder that ends with it.

Taken over as they are: chain, venue, position, policies with their strategies and caps. Changed: the wallet (a key
made for this drill), the endpoints (one dead, two that lead to the fork), the state folder. Left out: what would
reach the outside world (alarms, metrics, an aggregator), and everything about other positions.
"""

from __future__ import annotations

import json
import secrets
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keeper.cli.template import Guard, from_guards
from keeper.config import Settings, load
from keeper.daemon.known import Wish
from keeper.daemon.wiring import View, outlooks
from keeper.decision.defaults import suggest
from keeper.errors import ConfigError
from keeper.model import Position
from keeper.signer.keystore import seal
from keeper.venues import registry

STRATEGIES = ["repay", "add_collateral", "deleverage"]
LABEL = "drilled"
BLOCK_S = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whose position is drilled, and by which configuration."""

    account: str
    config: Path | None = None
    label: str | None = None
    provider: str | None = None
    market: str | None = None

    @property
    def wish(self) -> Wish:
        """What a scan is told."""
        return Wish(account=self.account, provider=self.provider, market=self.market)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One position's part of a keeper.toml, as TOML has it, before it is moved to the fork."""

    tables: Mapping[str, Any]
    label: str
    told: tuple[str, ...] = ()
    """What was decided for the user, in words."""
    settings: Settings | None = None
    """The user's own file as it was read; None where the drill proposed one."""

    @property
    def chain(self) -> Mapping[str, Any]:
        """``[[chains]]``."""
        return dict(self.tables["chains"][0])

    @property
    def position(self) -> Mapping[str, Any]:
        """``[[positions]]``."""
        return dict(self.tables["positions"][0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where the drilled keeper lives."""

    folder: Path
    wallet: str
    """Address of the throwaway key."""

    @property
    def config(self) -> Path:
        """The daemon's keeper.toml: its key is in the signer's process."""
        return self.folder / "keeper.toml"

    @property
    def alone(self) -> Path:
        """The same with the key in process: for what the signer's own journal would refuse to sign twice."""
        return self.folder / "alone.toml"

    @property
    def socket(self) -> Path:
        """The signer's."""
        return self.folder / "signer.sock"


def own_body(asked: Asked) -> Body:
    """The part of the user's file that guards the position. Raises ConfigError."""
    assert asked.config is not None
    settings = load(asked.config)
    mine = [p for p in settings.positions if p.account == asked.account and asked.label in (None, p.label)]
    if not mine:
        guarded = ", ".join(f"{p.label} ({p.account})" for p in settings.positions)
        what = f"{asked.account}" + (f" labelled {asked.label}" if asked.label else "")
        raise ConfigError((f"{asked.config}: guards no position of {what}; it guards {guarded}",))
    if len(mine) > 1:
        labels = ", ".join(p.label for p in mine)
        why = f"guards {len(mine)} positions of {asked.account}: name one with --label, of {labels}"
        raise ConfigError((f"{asked.config}: {why}",))
    chosen, venue = mine[0], settings.venue(mine[0].venue)
    whole = tomllib.loads(asked.config.read_text(encoding="utf-8"))
    position = {
        key: value
        for key, value in (
            ("label", chosen.label),
            ("venue", chosen.venue),
            ("account", chosen.account),
            ("policy", chosen.policy),
            ("executor", chosen.executor),
            ("accept_thin_emergency", chosen.accept_thin_emergency),
        )
        if value is not None
    }
    return Body(
        tables={
            "chains": [c for c in whole["chains"] if c["name"] == venue.chain],
            "venues": [v for v in whole["venues"] if v["name"] == venue.name],
            "positions": [position],
            "policies": whole.get("policies", {}),
        },
        label=chosen.label,
        settings=settings,
    )


def proposed_body(view: View, account: str) -> Body:
    """A keeper for the largest debt that the scan found, under the thresholds that suit it. Raises ConfigError."""
    owing = [p for p in view.snapshot.positions if p.debt]
    if not owing:
        missed = f" (not looked at: {'; '.join(view.missed)})" if view.missed else ""
        unread = "".join(f"; {u.id.venue}: {u.why}" for u in view.snapshot.unreadable)
        what = "owes nothing" if view.snapshot.positions else "has no position"
        raise ConfigError(
            (f"{account} {what} on the markets known for chain {view.chain.chain_id}{missed}{unread}",)
        )
    chosen = max(owing, key=_debt)
    judged = {o.id: o for o in outlooks(view.snapshot, {})}
    policy, why = suggest(chosen, judged[chosen.id], {}, {})
    if registry.executor_of(chosen.id.venue):
        policy = replace(policy, strategies=tuple(STRATEGIES))
    market = view.markets.get((chosen.id.venue, chosen.id.key))
    guard = Guard(id=chosen.id, policy=policy, why=why, market=market)
    text = from_guards(view.chain.name, view.chain.chain_id, "http://127.0.0.1:1", [guard])
    told = [f"no configuration was given: it is guarded as proposed ({why})"]
    if len(owing) > 1:
        told.append(f"of {len(owing)} positions the one with the largest debt is drilled: {chosen.id}")
    whole = tomllib.loads(text)
    whole["positions"][0]["label"] = LABEL
    return Body(tables=whole, label=LABEL, told=tuple(told))


def furnish(body: Body, folder: Path, fork_url: str) -> Home:
    """Write the key and both configurations. The key lives as long as the folder."""
    sealed, address = seal(secrets.token_bytes(32), password := secrets.token_hex(16))
    for name, text in (("keystore.json", sealed), ("password", password)):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)
    home = Home(folder=folder, wallet=address)
    write(home, body, fork_url)
    return home


def write(home: Home, body: Body, fork_url: str, *, executor: str | None = None) -> None:
    """Both configurations; ``executor``: named for the position where the body names none."""
    endpoints = [
        {"name": "dead", "url": f"http://127.0.0.1:{_closed_port()}", "rate_per_s": 100},
        {"name": "fork-1", "url": fork_url, "ws_url": fork_url.replace("http", "ws", 1), "rate_per_s": 1000},
        {"name": "fork-2", "url": fork_url, "rate_per_s": 1000},
    ]
    left_out = ("endpoints", "aggregator")
    chain = {k: v for k, v in body.chain.items() if k not in left_out} | {"endpoints": endpoints}
    position = {**body.position, **({"executor": executor} if executor else {})}
    keys = {"keystore": str(home.folder / "keystore.json"), "password_file": str(home.folder / "password")}
    for path, wallet in ((home.config, {"signer": f"unix:{home.socket}"}), (home.alone, keys)):
        tables: dict[str, Any] = {
            "schema": 1,
            "mode": "live",
            "state_dir": str(home.folder / "state"),
            "wallet": {"address": home.wallet, **wallet},
            "chains": [chain],
            "venues": body.tables["venues"],
            "positions": [position],
            "policies": body.tables["policies"],
        }
        path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in tables.items()))


def toml(value: object) -> str:
    """A value as TOML writes it inline."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


def block_s(settings: Settings) -> int:
    """Seconds between blocks of the drilled chain, at least one."""
    return max(1, round(settings.chains[0].block_time_s))


def _debt(position: Position) -> int:
    return sum(d.value_base for d in position.debt)


def _closed_port() -> int:
    """A port of ours that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

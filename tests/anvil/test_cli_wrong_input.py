"""Commands against a real market: right input reads it, wrong input gets one message and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anvil.actors import Actors, Borrower
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.config import load
from tests.command import typed

pytestmark = pytest.mark.anvil

NOBODY = "0x000000000000000000000000000000000000dEaD"
EOA = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
ROOT = Path(__file__).resolve().parents[2]


def written(folder: Path, node: Anvil, market: Deployment, account: str) -> str:
    """A right configuration for the market; tests spoil it."""
    text = f"""\
schema = 1
state_dir = "state"
[[chains]]
name = "local"
chain_id = {market.chain_id}
multicall = "{market.multicall}"
[[chains.endpoints]]
name = "first"
url = "{node.url}"
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "local"
provider = "{market.provider}"
[[positions]]
label = "vault"
venue = "aave"
account = "{account}"
"""
    (folder / "keeper.toml").write_text(text)
    return text


def borrower(market: Deployment) -> Borrower:
    weth, usdc = market.token("WETH"), market.token("USDC")
    account = market.roles.actors[0]
    return Borrower(account=account, collateral={"WETH": 3 * weth.unit}, debt={"USDC": 1500 * usdc.unit})


def test_scan__when_the_account_has_a_position__then_health_is_the_pools_and_init_guards_it(
    tmp_path: Path, upstream: Anvil, deployment: Deployment, actors: Actors
) -> None:
    someone = borrower(deployment)
    actors.open(someone)
    at = ("--rpc", upstream.url, "--provider", deployment.provider)
    done = typed(tmp_path, "scan", someone.account, *at, "--json")
    (found,) = json.loads(done.stdout)["positions"]
    assert found["health_wad"] == str(actors.account(someone.account).health_wad)
    assert found["level"] in ("SAFE", "WATCH")
    assert done.returncode == 0

    plain = typed(tmp_path, "scan", someone.account, *at)
    assert "WETH" in plain.stdout
    assert "\x1b" not in plain.stdout

    assert typed(tmp_path, "init", "--from", someone.account, *at).returncode == 0
    settings = load(tmp_path / "keeper.toml")
    assert settings.mode == "dry-run"
    assert [p.account for p in settings.positions] == [someone.account]
    done = typed(tmp_path, "positions", "--json")
    assert done.returncode == 0, done.stderr
    (guarded,) = json.loads(done.stdout)["positions"]
    assert guarded["health_wad"] == found["health_wad"]
    for command in ("distance", "risk", "shock", "leverage"):
        table = typed(tmp_path, command).stdout
        assert "position-1" in table
        assert someone.account not in table


def test_scan__when_the_account_has_nothing__then_it_says_so(
    tmp_path: Path, upstream: Anvil, deployment: Deployment
) -> None:
    done = typed(tmp_path, "scan", NOBODY, "--rpc", upstream.url, "--provider", deployment.provider)
    assert done.returncode == 0
    assert f"no position of {NOBODY}" in done.stderr


def test_journal__when_one_tick_was_run_dry__then_it_tells_what_was_seen(
    tmp_path: Path, upstream: Anvil, deployment: Deployment, actors: Actors
) -> None:
    someone = borrower(deployment)
    actors.open(someone)
    written(tmp_path, upstream, deployment, someone.account)
    done = typed(tmp_path, "run", "--once")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    entries = json.loads(typed(tmp_path, "journal", "--json").stdout)["entries"]
    assert "tick" in [e["kind"] for e in entries]
    assert entries == sorted(entries, key=lambda e: e["id"])
    assert len(typed(tmp_path, "journal", "--kind", "tick").stdout.splitlines()) == 2
    told = typed(tmp_path, "explain", "vault")
    assert told.returncode == 0, told.stderr
    assert "nothing had to be decided" in told.stderr
    assert "last block seen" in told.stdout
    assert ": 1 positions" in told.stdout
    lost = typed(tmp_path, "explain", "nothing")
    assert lost.returncode == 2
    assert "vault" in lost.stderr


@pytest.mark.parametrize("command", [("positions",), ("check",), ("run", "--once")])
@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        ("provider", EOA),
        ("multicall", EOA),
        ("chain_id", "chain"),
    ],
)
def test_command__when_the_chain_contradicts_the_configuration__then_one_message_names_it(
    tmp_path: Path,
    upstream: Anvil,
    deployment: Deployment,
    command: tuple[str, ...],
    spoiled: str,
    said: str,
) -> None:
    text = written(tmp_path, upstream, deployment, EOA)
    wrong = {
        "provider": (deployment.provider, EOA),
        "multicall": (deployment.multicall, EOA),
        "chain_id": (f"chain_id = {deployment.chain_id}", "chain_id = 1"),
    }[spoiled]
    (tmp_path / "keeper.toml").write_text(text.replace(*wrong))
    done = typed(tmp_path, *command)
    shown = done.stdout + done.stderr
    assert "Traceback" not in shown
    assert said in shown
    # `check` lists what is wrong as findings; the others do not start
    assert done.returncode == (1 if command == ("check",) else 78), shown


@pytest.mark.parametrize("command", [("positions",), ("scan", EOA, "--rpc", "http://127.0.0.1:9")])
def test_command__when_nobody_answers__then_69(
    tmp_path: Path, upstream: Anvil, deployment: Deployment, command: tuple[str, ...]
) -> None:
    text = written(tmp_path, upstream, deployment, EOA)
    (tmp_path / "keeper.toml").write_text(text.replace(upstream.url, "http://127.0.0.1:9"))
    done = typed(tmp_path, *command)
    assert done.returncode == 69, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_scan__when_the_chain_is_not_known__then_it_asks_for_a_provider(
    tmp_path: Path, upstream: Anvil, deployment: Deployment
) -> None:
    done = typed(tmp_path, "scan", EOA, "--rpc", upstream.url)
    assert done.returncode == 78
    assert "--provider" in done.stderr


def test_scan__when_the_provider_is_no_contract__then_it_is_named(
    tmp_path: Path, upstream: Anvil, deployment: Deployment
) -> None:
    done = typed(tmp_path, "scan", EOA, "--rpc", upstream.url, "--provider", EOA)
    assert done.returncode == 78
    assert EOA in done.stderr
    assert "Traceback" not in done.stderr

"""Every kind of account at random prices and times: our integers are the pool's own, to the wei."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.deployment import Deployment
from anvil.shock import set_prices
from keeper.model import Holding, Position
from tests.anvil_reading import Reader
from tests.bench.figures import record

pytestmark = pytest.mark.anvil
ROOT = Path(__file__).parents[2]

SEED = 20_260_301
EACH = 200
ROUNDS = 6
AT_ONCE = 50
CLASSES = ("one_debt", "several_debts", "e_mode", "switched_off", "dust")
USD8 = 10**8
ASSETS = ("WETH", "WBTC", "wstETH", "USDC", "DAI")


def _account(rng: random.Random) -> str:
    return str(to_checksum_address(rng.randbytes(20)))


def _units(market: Deployment, prices: Mapping[str, int], symbol: str, usd: float) -> int:
    """About ``usd`` dollars of a token, in an odd number of units."""
    return max(1, int(usd * USD8 * market.token(symbol).unit / prices[symbol])) | 1


def _borrower(kind: str, rng: random.Random, market: Deployment, prices: Mapping[str, int]) -> Borrower:
    """One random account of a class; loans start well inside their limits."""

    def units(symbol: str, usd: float) -> int:
        return _units(market, prices, symbol, usd)

    account, usd = _account(rng), 10 ** rng.uniform(2, 4.7)
    volatile = rng.sample(("WETH", "WBTC", "wstETH"), 2)
    if kind == "e_mode":
        mode = rng.choice((1, 2))
        given, owed = (
            (("USDC", "DAI") if rng.random() < 0.5 else ("DAI", "USDC")) if mode == 1 else ("wstETH", "WETH")
        )
        extra = {"WBTC": units("WBTC", usd / 3)} if rng.random() < 0.5 else {}
        debt = {owed: units(owed, usd * rng.uniform(0.1, 0.85))}
        return Borrower(
            account=account, collateral={given: units(given, usd), **extra}, debt=debt, emode=mode
        )
    if kind == "dust":
        collateral = {volatile[0]: units(volatile[0], usd), "DAI": rng.randint(2, 10**6)}
        return Borrower(account=account, collateral=collateral, debt={"USDC": rng.randint(1, 50), "DAI": 1})
    collateral = {v: units(v, usd * rng.uniform(0.2, 1)) for v in volatile}
    if kind == "switched_off":
        collateral |= {"DAI": units("DAI", usd * 2)}
        debt = {"USDC": units("USDC", usd * rng.uniform(0.01, 0.1))}
        return Borrower(account=account, collateral=collateral, debt=debt, disabled=("DAI",))
    wanted = ["USDC"] if kind == "one_debt" else rng.sample(ASSETS, rng.randint(2, 4))
    debt = {s: units(s, usd * 0.2 / len(wanted) * rng.uniform(0.1, 1)) for s in wanted}
    return Borrower(account=account, collateral=collateral, debt=debt)


def _value(held: tuple[Holding, ...]) -> int:
    return sum(h.value_base for h in held)


def _agrees(position: Position | None, pool: tuple[int, ...]) -> bool:
    """Whether a position says what the pool said in a call of its own at the same block."""
    if position is None:
        return False
    counted = tuple(h for h in position.collateral if h.threshold_wad)
    collateral, debt = _value(counted), _value(position.debt)
    weighted = sum(h.value_base * (h.threshold_wad // 10**14) for h in counted)
    threshold = weighted // collateral if collateral else 0
    return (collateral, debt, threshold, position.health_wad) == (pool[0], pool[1], pool[3], pool[5])


@pytest.fixture
def crowd(chain: Chain, deployment: Deployment) -> tuple[random.Random, list[str]]:
    rng = random.Random(SEED)
    actors = Actors(chain, deployment)
    prices = {s: actors.price_usd8(s) for s in ASSETS}
    people = [_borrower(kind, rng, deployment, prices) for kind in CLASSES for _ in range(EACH)]
    # somebody borrows most of the cash: at real rates every term of the compounding shows within weeks
    whale = {s: _units(deployment, prices, s, 45_000_000) for s in ("USDC", "DAI", "WETH")}
    pledge = {"WBTC": _units(deployment, prices, "WBTC", 400_000_000)}
    actors.open(Borrower(account=deployment.roles.actors[0], collateral=pledge, debt=whale))
    # a receipt costs anvil as much as its block is long: many short blocks are ten times quicker than one
    for start in range(0, len(people), AT_ONCE):
        actors.open_many(people[start : start + AT_ONCE])
    return rng, [b.account for b in people]


def test_states_exact__1000_random_accounts_of_five_classes__equal_the_pool_to_the_wei(
    chain: Chain, deployment: Deployment, crowd: tuple[random.Random, list[str]], tmp_path: Path
) -> None:
    rng, accounts = crowd
    actors = Actors(chain, deployment)
    start = {s: actors.price_usd8(s) for s in ASSETS}
    reader = Reader(chain, deployment)
    wrong: set[str] = set()
    underwater = 0
    for _ in range(ROUNDS):
        stable, wild = (0.97, 1.03), (0.3, 1.6)
        set_prices(
            chain,
            deployment,
            {s: int(p * rng.uniform(*(stable if s in ("USDC", "DAI") else wild))) for s, p in start.items()},
        )
        chain.mine(reader.block().timestamp_s + rng.randint(1, 40 * 86_400))
        block = reader.block()
        snapshot = reader.snapshot(accounts)
        found = {p.id.account: p for p in snapshot.positions}
        pool = chain.batch(_account_data(deployment, a, block.number) for a in accounts)
        for account, answer in zip(accounts, pool, strict=True):
            words = tuple(int(answer[2 + 64 * i : 66 + 64 * i], 16) for i in range(6))
            underwater += words[5] < 10**18
            if not _agrees(found.get(account), words):
                wrong.add(account)
    exact = len(accounts) - len(wrong)
    proof: dict[str, Any] = {"evidence": "real_bytecode", "n": len(accounts), "seed": SEED}
    record("states_exact_aave_v3", exact, unit="states", bound="= 1000", holds=exact == 1000, **proof)
    record("states_wrong_aave_v3", len(wrong), unit="states", bound="= 0", holds=not wrong, **proof)
    assert underwater, "no account was ever liquidatable: the prices do not reach the interesting states"
    assert not wrong, f"{len(wrong)} of {len(accounts)} differ, e.g. {sorted(wrong)[0]}"
    assert len(accounts) == 1000
    assert reader.told(accounts[:40]) == [found[a].health_wad for a in accounts[:40]]
    # a line on each side of the very health: the screen over the words alone tells both apart, for everybody
    healths = [min(found[a].health_wad or 0, 2**64 - 3) for a in accounts]
    assert reader.low(accounts, healths) == frozenset()
    finite = frozenset(a for a in accounts if (found[a].health_wad or 0) < 2**64 - 3)
    assert reader.low(accounts, [h + 1 for h in healths]) == finite
    assert len(finite) > len(accounts) // 2
    said = _said_by_the_command(tmp_path, chain.url, deployment, accounts)
    assert int(said["block"]["number"]) == block.number
    shown = {p["account"]: p["health_wad"] for p in said["positions"]}
    told = {a: str(int(answer[322:386], 16)) for a, answer in zip(accounts, pool, strict=True)}
    assert shown == told


def _said_by_the_command(
    folder: Path, url: str, market: Deployment, accounts: Sequence[str]
) -> dict[str, Any]:
    """``keeper positions --json`` over a configuration that guards every account."""
    lines = [
        f'schema = 1\nstate_dir = "{folder / "state"}"\n[[chains]]\nname = "local"',
        f'chain_id = {market.chain_id}\nmulticall = "{market.multicall}"',
        f'[[chains.endpoints]]\nurl = "{url}"\nrate_per_s = 1000',
        f'[[venues]]\nname = "aave"\nkind = "aave_v3"\nchain = "local"\nprovider = "{market.provider}"',
        "[policies.default]\nwarn = 1.5\ntrigger = 1.25\ntarget = 1.4\nemergency = 1.1",
        "[policies.default.caps]\nper_action_usd = 1000\nper_day_usd = 2000\ngas_usd_max = 50",
        "gas_usd_emergency = 100",
    ]
    lines += [
        f'[[positions]]\nlabel = "p{i}"\nvenue = "aave"\naccount = "{a}"\npolicy = "default"'
        for i, a in enumerate(accounts)
    ]
    (folder / "keeper.toml").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "keeper", "positions", "--json", "--config", str(folder / "keeper.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    # 1 is a finding: some of these accounts can be liquidated
    assert done.returncode in (0, 1), done.stderr
    return dict(json.loads(done.stdout))


def _account_data(market: Deployment, account: str, number: int) -> tuple[str, tuple[object, ...]]:
    data = "0xbf92857c" + account[2:].lower().rjust(64, "0")
    return "eth_call", ({"to": market.pool, "data": data}, hex(number))

"""The doubles of GMX v2: the venue's own ABI, and every state that its Reader judged, judged the same."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from anvil.abi import type_text
from anvil.client import Chain
from anvil.compile import own_artifact
from anvil.deploy_gmx_v2 import (
    CODE_SIZE_MAX,
    PRICES,
    ZERO,
    Gmx,
    deploy_gmx_v2,
    key,
    name,
    position_key,
    put,
)
from anvil.node import Anvil, AnvilSettings
from anvil.tools import HERE
from tests.bench.figures import record

GENESIS_S = 1_750_000_000
SAMPLE = 10
SIZE_SHARE_MAX = 1e-15
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MARKET = "(address,address,address,address)"
VERDICT = (
    f"isPositionLiquidatable(address,address,bytes32,{MARKET},{PRICES},bool,bool)"
    "(bool,string,(int256,int256,int256))"
)
OURS = {
    "SyntheticsReader": "GmxOrderReaderDouble",
    "DataStore": "GmxDataStoreDouble",
    "ExchangeRouter": "GmxExchangeRouterDouble",
    "SubaccountRouter": "GmxSubaccountRouterDouble",
    "EventEmitter": "GmxEventEmitterDouble",
    "SyntheticsRouter": "GmxRouterDouble",
}
BESIDE = {"setUints", "addPlugin", "plugins", "judge"}
"""Functions that the doubles have beside those of one contract of the package."""


@pytest.fixture(scope="module")
def chain(anvil_binary: None) -> Iterator[Chain]:
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S, code_size_max=CODE_SIZE_MAX)) as node:
        client = Chain(node.url)
        try:
            yield client
        finally:
            client.close()


def documents() -> list[Mapping[str, Any]]:
    roots = [DATA, *(Path(x) for x in [os.environ.get("KEEPER_VECTORS", "")] if x)]
    found = [p for root in roots if root.is_dir() for p in sorted(root.glob("*gmx_v2_vectors.json"))]
    if not found:
        pytest.skip("no gmx_v2_vectors.json beside the repository or in KEEPER_VECTORS")
    return [case for p in found for case in json.loads(p.read_text())]


def written(at: Gmx, m: Mapping[str, Any], now_s: int) -> dict[bytes, int]:
    """A market of the vectors under the store's keys, accumulators as old as they say."""
    market, tokens = at.market, (at.wnt, at.usdc)
    uints: dict[bytes, int] = {name("MIN_COLLATERAL_USD"): m["min_coll_usd"]}
    for side in (True, False):
        of = "true" if side else "false"
        for i, token in enumerate(tokens):
            uints[key("OPEN_INTEREST", market, token, side)] = m["oi"][of][i]
            uints[key("OPEN_INTEREST_IN_TOKENS", market, token, side)] = m["oit"][of][i]
            uints[key("FUNDING_FEE_AMOUNT_PER_SIZE", market, token, side)] = m["ffps"][of][i]
        uints[key("POOL_AMOUNT", market, tokens[0 if side else 1])] = m["pool"][of]
        uints[key("MAX_PNL_FACTOR", "MAX_PNL_FACTOR_FOR_TRADERS", market, side)] = m["max_pnl_f"][of]
        uints[key("CUMULATIVE_BORROWING_FACTOR_UPDATED_AT", market, side)] = now_s - m["dt_b"]
        for field, value in (
            ("POSITION_IMPACT_FACTOR", m["impact_f"][of]),
            ("POSITION_IMPACT_EXPONENT_FACTOR", m["impact_e"][of]),
            ("MAX_POSITION_IMPACT_FACTOR", m["max_imp"][of]),
            ("POSITION_FEE_FACTOR", m["fee_f"][of]),
            ("CUMULATIVE_BORROWING_FACTOR", m["cumb"][of]),
            ("OPTIMAL_USAGE_FACTOR", m["kink"][of]["opt"]),
            ("BASE_BORROWING_FACTOR", m["kink"][of]["base"]),
            ("ABOVE_OPTIMAL_USAGE_BORROWING_FACTOR", m["kink"][of]["above"]),
            ("OPEN_INTEREST_RESERVE_FACTOR", m["oi_reserve_f"][of]),
            ("BORROWING_FACTOR", m["bor_f"][of]),
            ("BORROWING_EXPONENT_FACTOR", m["bor_e"][of]),
        ):
            uints[key(field, market, side)] = value
    fund = m["fund"]
    for field, value in (
        ("MIN_COLLATERAL_FACTOR", m["mcf"]),
        ("MIN_COLLATERAL_FACTOR_FOR_LIQUIDATION", m["mcf_liq"]),
        ("MAX_POSITION_IMPACT_FACTOR_FOR_LIQUIDATIONS", m["max_imp_liq"]),
        ("FUNDING_FACTOR", fund["f"]),
        ("FUNDING_EXPONENT_FACTOR", fund["exp"]),
        ("FUNDING_INCREASE_FACTOR_PER_SECOND", fund["inc"]),
        ("FUNDING_DECREASE_FACTOR_PER_SECOND", fund["dec"]),
        ("MIN_FUNDING_FACTOR_PER_SECOND", fund["min"]),
        ("MAX_FUNDING_FACTOR_PER_SECOND", fund["max"]),
        ("THRESHOLD_FOR_STABLE_FUNDING", fund["stable"]),
        ("THRESHOLD_FOR_DECREASE_FUNDING", fund["decth"]),
        ("FUNDING_UPDATED_AT", now_s - m["dt_f"]),
    ):
        uints[key(field, market)] = value
    return uints


def placed(chain: Chain, at: Gmx, case: Mapping[str, Any], account: str) -> bytes:
    """The case on the chain; the position's key."""
    m, p, who = case["m"], case["p"], chain.accounts[0]
    collateral = at.wnt if p["cidx"] == 0 else at.usdc
    id = position_key(account, at.market, collateral, p["long"])

    def field(text: str) -> bytes:
        return keccak(encode(["bytes32", "bytes32"], [id, name(text)]))

    now_s = chain.block().timestamp_s
    uints = written(at, m, now_s)
    for text, what in (
        ("SIZE_IN_USD", "size"),
        ("SIZE_IN_TOKENS", "tokens"),
        ("COLLATERAL_AMOUNT", "coll"),
        ("BORROWING_FACTOR", "bor"),
        ("FUNDING_FEE_AMOUNT_PER_SIZE", "fps"),
    ):
        uints[field(text)] = p[what]
    put(chain, at, uints)
    for text, flag in (
        ("USE_OPEN_INTEREST_IN_TOKENS_FOR_BALANCE", m["oi_in_tokens"]),
        ("SKIP_BORROWING_FEE_FOR_SMALLER_SIDE", m["skip_small"]),
    ):
        chain.send(who, at.store, "setBool(bytes32,bool)", name(text), flag)
    chain.send(who, at.store, "addBytes32(bytes32,bytes32)", name("POSITION_LIST"), id)
    chain.send(who, at.store, "setBool(bytes32,bool)", field("IS_LONG"), p["long"])
    saved = key("SAVED_FUNDING_FACTOR_PER_SECOND", at.market)
    chain.send(who, at.store, "setInt(bytes32,int256)", saved, m["fund"]["saved"])
    chain.send(who, at.store, "setInt(bytes32,int256)", field("PENDING_IMPACT_AMOUNT"), p["pend_imp"])
    for text, address in (("ACCOUNT", account), ("MARKET", at.market), ("COLLATERAL_TOKEN", collateral)):
        chain.send(who, at.store, "setAddress(bytes32,address)", field(text), address)
    return id


def info_types() -> str:
    """The answer of getPositionInfo by our own ABI, which is the package's."""
    abi = own_artifact("GmxOrderReaderDouble").abi
    entry = next(e for e in abi if e.get("name") == "getPositionInfo")
    outputs: Any = entry["outputs"]
    return type_text(outputs[0])


def judged(chain: Chain, at: Gmx, case: Mapping[str, Any], id: bytes) -> list[str]:
    """What the double says otherwise than the Reader did."""
    m, p, said = case["m"], case["p"], case["reader"]
    prices = (tuple(m["idx"]), tuple(m["lpx"]), tuple(m["spx"]))
    market = (at.market, at.wnt, at.wnt, at.usdc)
    dead, why, numbers = chain.call(at.reader, VERDICT, at.store, ZERO, id, market, prices, True, True)
    asked = f"getPositionInfo(address,address,bytes32,{PRICES},uint256,address,bool)({info_types()})"
    info = chain.call(at.reader, asked, at.store, ZERO, id, prices, 0, ZERO, True)
    fees = info[2]
    found = {
        "liq": dead,
        "reason": why,
        "minUsd": numbers[1],
        "need": numbers[2],
        "fee": fees[13],
        "pnl": info[4],
    }
    wrong = [k for k, v in found.items() if v != said[k]]
    price = (m["lpx"] if p["cidx"] == 0 else m["spx"])[0]
    for what, gap in (
        ("remaining", numbers[0] - said["remaining"]),
        ("pendingBorrow", (fees[3][1] - said["pendingBorrow"]) * price),
        ("pendingFunding", (fees[2][0] - said["pendingFunding"]) * price),
    ):
        if abs(gap) > SIZE_SHARE_MAX * p["size"]:
            wrong.append(what)
    return wrong


def states(chain: Chain, cases: list[Mapping[str, Any]]) -> list[tuple[int, list[str]]]:
    """(number, what differs) of the cases that differ."""
    at = deploy_gmx_v2(chain)
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    found = []
    for n, case in enumerate(cases):
        account = "0x" + (0xABC000 + n).to_bytes(20).hex()
        wrong = judged(chain, at, case, placed(chain, at, case, account))
        if wrong:
            found.append((n, wrong))
    return found


@pytest.mark.anvil
def test_double__states_of_the_readers_vectors__judged_the_same(chain: Chain) -> None:
    cases = documents()
    kept = cases[:: max(1, len(cases) // SAMPLE)]
    assert states(chain, kept) == []


@pytest.mark.chaos
def test_double__every_state_of_the_vectors__judged_the_same(chain: Chain) -> None:
    cases = documents()
    wrong = states(chain, cases)
    record(
        "states_exact_gmx_v2_double",
        len(cases) - len(wrong),
        unit="states",
        bound=f"= {len(cases)}",
        holds=not wrong,
        evidence="vendor_vectors",
        n=len(cases),
    )
    assert wrong == []


@pytest.mark.anvil
def test_double__each_function__has_the_packages_own_abi() -> None:
    package = HERE / "node_modules" / "@gmx-io" / "sdk" / "build" / "cjs" / "src" / "abis"
    if not package.is_dir():
        pytest.skip("the package @gmx-io/sdk is not installed: run `make setup`")
    for theirs, ours in OURS.items():
        code = "const m=require(process.argv[1]);const a=m.default||Object.values(m)[0];"
        code += "process.stdout.write(JSON.stringify(Array.isArray(a)?a:a.abi))"
        run = subprocess.run(
            ["node", "-e", code, str(package / f"{theirs}.js")], capture_output=True, check=True, text=True
        )
        real = {shape(e) for e in json.loads(run.stdout) if e["type"] in ("function", "event")}
        made = {
            shape(e)
            for e in own_artifact(ours).abi
            if e["type"] in ("function", "event") and not own(theirs, str(e["name"]), real)
        }
        assert made <= real, (theirs, sorted(made - real))
        assert made, ours


def own(theirs: str, name_: str, real: set[tuple[object, ...]]) -> bool:
    """Helpers of the double that the real contract keeps elsewhere."""
    if name_ in BESIDE:
        return True
    known = {str(s[1]) for s in real}
    return theirs == "SyntheticsReader" and name_ not in known


def shape(entry: Mapping[str, Any]) -> tuple[object, ...]:
    """What a caller sees of a function or an event."""
    inputs = tuple((type_text(i), i.get("indexed", False)) for i in entry["inputs"])
    outputs = tuple(type_text(o) for o in entry.get("outputs", ()))
    return entry["type"], entry["name"], inputs, outputs

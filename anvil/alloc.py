"""The real market as genesis state, for forge: ``vm.loadAllocs`` puts it under every test without a compiler.

Run ``python -m anvil.alloc``. What it writes holds protocol bytecode: it stays in the cache and is never committed.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import sys
from pathlib import Path

import orjson

from anvil import deploy, deploy_aave_v3, deploy_uniswap_v3
from anvil.client import Chain
from anvil.compile import CompileFailed, compile_aave, compile_key, compile_morpho
from anvil.node import Anvil, AnvilFailed, AnvilSettings
from anvil.tools import ROOT, ToolMissing
from anvil.units import AAVE_UNITS, MORPHO_UNITS

GENESIS_S = 1_750_000_000
FORGE_DIR = ROOT / ".cache" / "forge"
ALLOC = FORGE_DIR / "alloc.json"
MARKET = FORGE_DIR / "market.json"
MORPHO = FORGE_DIR / "morpho.json"
"""Creation code by contract: the tests that need Morpho deploy it themselves, the others' state stays as it is."""
_KEY = FORGE_DIR / "alloc.key"


def write_alloc(*, quiet: bool = False) -> Path:
    """State and addresses of a freshly deployed market, unless the cached ones are of the same code."""
    key = _key()
    if _there(key):
        return ALLOC
    FORGE_DIR.mkdir(parents=True, exist_ok=True)
    # shards that all find it changed: one deploys, and nobody reads what is half written
    with open(FORGE_DIR / "alloc.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _there(key):
            state, market, morpho = _deployed(quiet)
            _put(ALLOC, state)
            _put(MARKET, market)
            _put(MORPHO, morpho)
            _put(_KEY, key)
    return ALLOC


def _there(key: str) -> bool:
    return all(path.is_file() for path in (ALLOC, MARKET, MORPHO, _KEY)) and _KEY.read_text() == key


def _put(path: Path, text: str) -> None:
    draft = path.with_suffix(".part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _deployed(quiet: bool) -> tuple[str, str, str]:
    """State, addresses and Morpho's creation code as JSON."""
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S)) as node:
        chain = Chain(node.url)
        market = deploy.deploy(chain, compile_aave(quiet=quiet))
        head = chain.block()
        state = orjson.loads(gzip.decompress(bytes.fromhex(chain.rpc("anvil_dumpState")[2:])))
        chain.close()
    rows = {address: _account(row) for address, row in state["accounts"].items()}
    tokens = {t.symbol: {"token": t.address, "aToken": t.a_token, "debtToken": t.debt_token, "feed": t.feed}
              for t in market.tokens}  # fmt: skip
    pools = {"".join(p.symbols): p.address for p in market.uniswap.pools}
    record = {
        "timestamp": head.timestamp_s, "number": head.number, "pool": market.pool, "oracle": market.oracle,
        "deployer": market.roles.deployer, "factory": market.uniswap.factory, "router": market.uniswap.router,
        "configurator": market.configurator, "tokens": tokens, "pools": pools,
    }  # fmt: skip
    morpho = {name: artifact.bytecode for name, artifact in compile_morpho(quiet=quiet).items()}
    return json.dumps(rows), json.dumps(record, indent=1), json.dumps(morpho)


def _account(row: dict[str, object]) -> dict[str, object]:
    return {"balance": row["balance"], "code": row["code"], "nonce": hex(int(str(row["nonce"]), 0)),
            "storage": row["storage"]}  # fmt: skip


def _key() -> str:
    """Of all that the state follows from: compiled code, and the scripts that deploy it."""
    parts = [compile_key(unit.standard_json(), unit.solc) for unit in (*AAVE_UNITS, *MORPHO_UNITS)]
    for module in (deploy, deploy_aave_v3, deploy_uniswap_v3):
        assert module.__file__ is not None
        parts.append(Path(module.__file__).read_text(encoding="utf-8"))
    parts.append((ROOT / "contracts" / "artifacts" / "PriceFeed.json").read_text(encoding="utf-8"))
    parts.append(Path(__file__).read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def main() -> int:
    """Write the files, or say what is missing."""
    try:
        print(write_alloc())
    except (ToolMissing, CompileFailed, AnvilFailed) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compile Solidity with the pinned npm solc, cached by the hash of sources, settings and compiler.

The real Aave v3.6 sources come from npm and are never committed; nor is anything compiled from them.
Run ``python -m anvil.compile`` to fill the cache (twenty seconds on two cores, cold), and with
``--write-artifacts`` to rewrite ``contracts/artifacts`` from our own contracts as well.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from anvil.tools import HERE, ROOT, ToolMissing, find_node

CACHE_DIR = ROOT / ".cache" / "contracts"
ARTIFACTS_DIR = ROOT / "contracts" / "artifacts"
SOLC = "solc-0.8.27"
"""The compiler of Aave v3.6's own build; WASM from npm, the only solc there is without a download site."""

_IMPORT = re.compile(r"""(?:^|;)\s*import\s+(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']""", re.MULTILINE)
_OUTPUT = ("abi", "evm.bytecode.object", "evm.bytecode.linkReferences")
_WITH_RUNTIME = (*_OUTPUT, "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences")


class CompileFailed(Exception):
    """solc refused the sources; the message is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One compiled contract: ``bytecode`` is creation code in hex, libraries not yet linked."""

    name: str
    source: str
    abi: tuple[Mapping[str, object], ...]
    bytecode: str
    links: tuple[tuple[str, int], ...]
    """(library name, byte offset of its 20-byte address in the creation code)."""
    runtime: str = ""
    """Code as it lies on chain, in hex, immutables zero; empty where the unit does not ask for it."""
    immutables: tuple[tuple[int, int], ...] = ()
    """(byte offset, length) in ``runtime`` of each place that the constructor fills in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One run of solc: which contracts of which sources, from which folder, with which settings."""

    name: str
    base_dir: Path
    contracts: tuple[tuple[str, str], ...]
    """(source unit, contract name); a source unit is a path under ``base_dir``."""
    remappings: tuple[tuple[str, str], ...] = ()
    evm_version: str = "shanghai"
    runs: int = 200
    solc: str = SOLC
    outputs: tuple[str, ...] = _OUTPUT

    def standard_json(self) -> dict[str, object]:
        """The whole compiler input, sources included. Raises ToolMissing when a source is not installed."""
        selection: dict[str, dict[str, list[str]]] = {}
        for source, contract in self.contracts:
            selection.setdefault(source, {})[contract] = list(self.outputs)
        return {
            "language": "Solidity",
            "sources": _closure(self),
            "settings": {
                "remappings": [f"{a}={b}" for a, b in self.remappings],
                "optimizer": {"enabled": True, "runs": self.runs},
                "evmVersion": self.evm_version,
                # without the metadata hash the bytecode is a function of the code alone
                "metadata": {"bytecodeHash": "none"},
                "outputSelection": selection,
            },
        }


def _closure(unit: Unit) -> dict[str, dict[str, str]]:
    """Every source that the unit's contracts reach by import, by solc's own rules for names."""
    found: dict[str, dict[str, str]] = {}
    waiting = [source for source, _ in unit.contracts]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = unit.base_dir / name
        if not path.is_file():
            raise ToolMissing(f"the source {name} is missing under {unit.base_dir}: run `make setup`")
        text = path.read_text(encoding="utf-8")
        found[name] = {"content": text}
        waiting += [_resolve(unit, name, target) for target in _IMPORT.findall(text)]
    return dict(sorted(found.items()))


def _resolve(unit: Unit, importer: str, target: str) -> str:
    if target.startswith("."):
        return posixpath.normpath(posixpath.join(posixpath.dirname(importer), target))
    # solc takes the longest matching prefix
    for prefix, replacement in sorted(unit.remappings, key=lambda r: -len(r[0])):
        if target.startswith(prefix):
            return replacement + target[len(prefix) :]
    return target


def compile_key(standard_json: Mapping[str, object], solc: str) -> str:
    """sha256 over the canonical compiler input and the compiler's name: equal input, equal artifacts."""
    body = orjson.dumps({"input": standard_json, "solc": solc}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(body).hexdigest()


def compile_unit(unit: Unit, *, cache_dir: Path = CACHE_DIR, quiet: bool = False) -> dict[str, Artifact]:
    """Artifacts of ``unit`` by contract name, from the cache when its key is there. Raises CompileFailed."""
    source = unit.standard_json()
    path = _cached(unit, source, cache_dir)
    if not path.is_file():
        answer = _run_solc(unit, source, quiet=quiet)
        path.parent.mkdir(parents=True, exist_ok=True)
        # another process may compile the same unit: the rename makes either result whole
        draft = path.with_suffix(f".{threading.get_ident()}.part")
        draft.write_bytes(orjson.dumps(_flatten(answer)))
        draft.replace(path)
    return {
        name: Artifact(
            name=name,
            source=item["source"],
            abi=tuple(item["abi"]),
            bytecode=item["bytecode"],
            links=tuple((lib, start) for lib, start in item["links"]),
            runtime=item.get("runtime", ""),
            immutables=tuple((start, length) for start, length in item.get("immutables", ())),
        )
        for name, item in orjson.loads(path.read_bytes()).items()
    }


def is_cached(unit: Unit, *, cache_dir: Path = CACHE_DIR) -> bool:
    """True when ``compile_unit`` will not need the compiler."""
    return _cached(unit, unit.standard_json(), cache_dir).is_file()


def _cached(unit: Unit, source: Mapping[str, object], cache_dir: Path) -> Path:
    return cache_dir / f"{unit.name}-{compile_key(source, unit.solc)[:32]}.json"


def _flatten(output: Mapping[str, Any]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for source, contracts in output["contracts"].items():
        for name, contract in contracts.items():
            code = contract["evm"]["bytecode"]
            flat[name] = {
                "source": source,
                "abi": contract["abi"],
                "bytecode": f"0x{code['object']}",
                "links": sorted(
                    (library, reference["start"])
                    for libraries in code["linkReferences"].values()
                    for library, places in libraries.items()
                    for reference in places
                ),
                **_runtime(contract["evm"].get("deployedBytecode")),
            }
    return flat


def _runtime(code: Mapping[str, Any] | None) -> dict[str, object]:
    if code is None:
        return {}
    places = [place for uses in code.get("immutableReferences", {}).values() for place in uses]
    return {
        "runtime": f"0x{code['object']}",
        "immutables": sorted((place["start"], place["length"]) for place in places),
    }


def _run_solc(unit: Unit, source: Mapping[str, object], *, quiet: bool) -> dict[str, Any]:
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(f"compiling {unit.name}", done), daemon=True)
    if not quiet:
        ticker.start()
    try:
        run = subprocess.run(
            [find_node(), str(HERE / "compile.js"), unit.solc],
            input=orjson.dumps(source),
            capture_output=True,
            cwd=HERE,
            check=False,
            timeout=900,
        )
    finally:
        done.set()
        if not quiet:
            ticker.join()
    if run.returncode != 0:
        raise CompileFailed(f"{unit.name}: solc did not run: {run.stderr.decode(errors='replace')[-2000:]}")
    output = orjson.loads(run.stdout)["output"]
    errors = [e["formattedMessage"] for e in output.get("errors", ()) if e["severity"] == "error"]
    if errors:
        raise CompileFailed(f"{unit.name}: " + "\n".join(errors[:5]))
    return dict(output)


def _tick(what: str, done: threading.Event) -> None:
    """Say on stderr that a long step is alive, with the seconds it has taken."""
    started_s = time.monotonic()
    print(f"  {what} (once; cached afterwards) ...", file=sys.stderr, flush=True)
    while not done.wait(10):
        print(f"  {what}: {time.monotonic() - started_s:.0f} s", file=sys.stderr, flush=True)
    print(f"  {what}: done in {time.monotonic() - started_s:.1f} s", file=sys.stderr, flush=True)


_AAVE = "@aave-dao/aave-v3-origin/src/contracts/"
_AAVE_REMAPPINGS = (
    ("openzeppelin-contracts/contracts/", "@openzeppelin/contracts/"),
    ("openzeppelin-contracts-upgradeable/contracts/", "@openzeppelin/contracts-upgradeable/"),
    ("solidity-utils/", "@bgd-labs/solidity-utils/src/"),
)


def _aave(name: str, *contracts: str) -> Unit:
    return Unit(
        name=name,
        base_dir=HERE / "node_modules",
        contracts=tuple((f"{_AAVE}{path}.sol", posixpath.basename(path)) for path in contracts),
        remappings=_AAVE_REMAPPINGS,
    )


AAVE_UNITS = (
    _aave(
        "aave-pool",
        "instances/PoolInstance",
        "protocol/libraries/logic/BorrowLogic",
        "protocol/libraries/logic/FlashLoanLogic",
        "protocol/libraries/logic/LiquidationLogic",
        "protocol/libraries/logic/PoolLogic",
        "protocol/libraries/logic/SupplyLogic",
        "protocol/libraries/helpers/Errors",
    ),
    _aave(
        "aave-rest",
        "instances/PoolConfiguratorInstance",
        "protocol/libraries/logic/ConfiguratorLogic",
        "instances/ATokenInstance",
        "instances/VariableDebtTokenInstance",
        "misc/DefaultReserveInterestRateStrategyV2",
        "misc/AaveOracle",
        "protocol/configuration/PoolAddressesProvider",
        "protocol/configuration/ACLManager",
        "helpers/AaveProtocolDataProvider",
        "mocks/testnet-helpers/TestnetERC20",
        "mocks/WETH9Mock",
    ),
)
"""Two units, so that two cores compile them at once; settings are those of the protocol's own build."""

MORPHO_UNIT = Unit(
    name="morpho-blue",
    base_dir=HERE / "node_modules",
    contracts=(("@morpho-org/morpho-blue/src/Morpho.sol", "Morpho"),),
    evm_version="paris",
    solc="solc-0.8.19",
)
"""The real Morpho Blue, without via_ir: slower code, the same rules, a quarter of the compiling."""

OWN_UNITS = (
    Unit(
        name="own",
        base_dir=ROOT,
        contracts=(("contracts/mocks/PriceFeed.sol", "PriceFeed"),),
    ),
    Unit(
        name="executor",
        base_dir=ROOT,
        contracts=(
            ("contracts/src/AaveV3Executor.sol", "AaveV3Executor"),
            ("contracts/src/ExecutorFactory.sol", "ExecutorFactory"),
        ),
        remappings=(("@openzeppelin/", "anvil/node_modules/@openzeppelin/"),),
        # transient storage; without via_ir, whose output nobody reads
        evm_version="cancun",
        outputs=_WITH_RUNTIME,
    ),
    Unit(
        name="doubles",
        base_dir=ROOT,
        contracts=tuple(
            (f"contracts/mocks/{source}.sol", contract)
            for source, contracts in (
                ("TokenDouble", ("TokenDouble",)),
                ("CometDouble", ("CometDouble",)),
                (
                    "MakerDouble",
                    (
                        "VatDouble",
                        "JugDouble",
                        "OsmDouble",
                        "SpotterDouble",
                        "DogDouble",
                        "GemJoinDouble",
                        "DaiJoinDouble",
                        "CdpManagerDouble",
                        "ChainlogDouble",
                        "IlkRegistryDouble",
                        "DsProxyDouble",
                        "ProxyActionsDouble",
                    ),
                ),
            )
            for contract in contracts
        ),
    ),
)
"""What is ours and is committed compiled: doubles for feeds and for venues without a package, and what owners
deploy."""


def compile_aave(*, quiet: bool = False) -> dict[str, Artifact]:
    """Every artifact of the Aave v3.6 market, by contract name."""
    with ThreadPoolExecutor(len(AAVE_UNITS)) as pool:
        parts = list(pool.map(lambda unit: compile_unit(unit, quiet=quiet), AAVE_UNITS))
    return {name: artifact for part in parts for name, artifact in part.items()}


def compile_morpho(*, quiet: bool = False) -> dict[str, Artifact]:
    """The real Morpho Blue, by contract name."""
    return compile_unit(MORPHO_UNIT, quiet=quiet)


def own_artifact_texts(*, cache_dir: Path = CACHE_DIR, quiet: bool = False) -> dict[str, str]:
    """File name -> text of each committed artifact, freshly compiled."""
    return {
        name: text
        for unit in OWN_UNITS
        for name, text in artifact_texts(unit, cache_dir=cache_dir, quiet=quiet).items()
    }


def artifact_texts(unit: Unit, *, cache_dir: Path = CACHE_DIR, quiet: bool = False) -> dict[str, str]:
    """File name -> JSON text of each artifact of one unit."""
    digest = compile_key(unit.standard_json(), unit.solc)
    texts: dict[str, str] = {}
    for name, artifact in sorted(compile_unit(unit, cache_dir=cache_dir, quiet=quiet).items()):
        record: dict[str, object] = {
            "contract": name,
            "source": artifact.source,
            "compiler": unit.solc,
            "input_sha256": digest,
            "abi": list(artifact.abi),
            "bytecode": artifact.bytecode,
        }
        if artifact.runtime:
            settings = {"evmVersion": unit.evm_version, "optimizerRuns": unit.runs, "viaIR": False}
            record |= {"settings": settings, "runtime": artifact.runtime, "immutables": artifact.immutables}
        texts[f"{name}.json"] = json.dumps(record, indent=1) + "\n"
    return texts


def own_artifact(name: str) -> Artifact:
    """A committed artifact of our own; needs neither node nor solc."""
    return read_artifact(ARTIFACTS_DIR / f"{name}.json")


def read_artifact(path: Path) -> Artifact:
    """An artifact as ``artifact_texts`` writes it."""
    record = orjson.loads(path.read_bytes())
    return Artifact(
        name=record["contract"],
        source=record["source"],
        abi=tuple(record["abi"]),
        bytecode=record["bytecode"],
        links=(),
        runtime=record.get("runtime", ""),
        immutables=tuple((start, length) for start, length in record.get("immutables", ())),
    )


def main(arguments: list[str]) -> int:
    """Fill the cache. ``--cached`` only tells whether it is full; ``--write-artifacts`` rewrites ours."""
    try:
        if "--cached" in arguments:
            return 0 if all(is_cached(unit) for unit in (*AAVE_UNITS, MORPHO_UNIT, *OWN_UNITS)) else 1
        quiet = "--quiet" in arguments
        compile_aave(quiet=quiet)
        compile_morpho(quiet=quiet)
        texts = own_artifact_texts(quiet=quiet)
    except (ToolMissing, CompileFailed) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    if "--write-artifacts" in arguments:
        ARTIFACTS_DIR.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (ARTIFACTS_DIR / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Compile Solidity with the pinned npm solc, cached by the hash of sources, settings and compiler.

The real Aave v3.6 sources come from npm and are never committed; nor is anything compiled from them.
Run ``python -m anvil.compile`` to fill the cache (twenty seconds on two cores, cold), and with
``--write-artifacts`` to rewrite ``contracts/artifacts`` from our own contracts as well.
"""

from __future__ import annotations

import hashlib
import json
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
from anvil.units import AAVE_UNITS, MORPHO_UNITS, OWN_UNITS, SYNTHETIX_UNIT, Unit

CACHE_DIR = ROOT / ".cache" / "contracts"
ARTIFACTS_DIR = ROOT / "contracts" / "artifacts"


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


def compile_aave(*, quiet: bool = False) -> dict[str, Artifact]:
    """Every artifact of the Aave v3.6 market, by contract name."""
    with ThreadPoolExecutor(len(AAVE_UNITS)) as pool:
        parts = list(pool.map(lambda unit: compile_unit(unit, quiet=quiet), AAVE_UNITS))
    return {name: artifact for part in parts for name, artifact in part.items()}


def compile_morpho(*, quiet: bool = False) -> dict[str, Artifact]:
    """The real Morpho Blue, its adaptive interest rate model and a settable oracle, by contract name."""
    parts = [compile_unit(unit, quiet=quiet) for unit in MORPHO_UNITS]
    return {name: artifact for part in parts for name, artifact in part.items()}


def compile_synthetix(*, quiet: bool = False) -> dict[str, Artifact]:
    """The real Synthetix v3 perps market with doubles of the core system it stands on, by contract name."""
    return compile_unit(SYNTHETIX_UNIT, quiet=quiet)


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
            units = (*AAVE_UNITS, *MORPHO_UNITS, SYNTHETIX_UNIT, *OWN_UNITS)
            return 0 if all(is_cached(unit) for unit in units) else 1
        quiet = "--quiet" in arguments
        compile_aave(quiet=quiet)
        compile_morpho(quiet=quiet)
        compile_synthetix(quiet=quiet)
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

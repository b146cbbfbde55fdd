"""Whether the code at an address is the Executor of the committed artifact, its immutables apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

NAME = "AaveV3Executor.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Compiled code as it stands in the repository."""

    creation: bytes
    runtime: bytes
    """With zeros where the constructor writes immutables."""
    immutables: tuple[tuple[int, int], ...]
    """(offset, length) of each place."""
    errors: tuple[str, ...]
    """Signatures of its custom errors."""


@cache
def artifact() -> Artifact:
    """The committed Executor; from inside the package, or from the source tree beside it."""
    body = json.loads(_place().read_text(encoding="utf-8"))
    return Artifact(
        creation=bytes.fromhex(body["bytecode"][2:]),
        runtime=bytes.fromhex(body["runtime"][2:]),
        immutables=tuple((int(at), int(n)) for at, n in body["immutables"]),
        errors=tuple(
            f"{e['name']}({','.join(i['type'] for i in e['inputs'])})"
            for e in body["abi"]
            if e["type"] == "error"
        ),
    )


def differs(code: bytes, wanted: Artifact) -> str:
    """How code on chain differs from the artifact; empty when it is that code.

    What stands at an immutable's place is the owner's and the chain's; the contract's own ``owner()`` and
    ``venues()`` tell it, and can be believed once all else is equal.
    """
    if not code:
        return "no contract there"
    if len(code) != len(wanted.runtime):
        return f"{len(code)} bytes of code, the Executor has {len(wanted.runtime)}"
    bare = bytearray(code)
    for at, n in wanted.immutables:
        bare[at : at + n] = bytes(n)
    if bytes(bare) == wanted.runtime:
        return ""
    first = next(i for i, (a, b) in enumerate(zip(bare, wanted.runtime, strict=True)) if a != b)
    return f"other code than the Executor's, from byte {first} on"


def _place() -> Traversable:
    inside = files(__package__).joinpath(NAME)
    beside = Path(__file__).resolve().parents[2] / "contracts" / "artifacts" / NAME
    return inside if inside.is_file() else beside

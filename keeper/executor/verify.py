"""Whether an address holds the Executor of the committed artifact, and whether our factory put it there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

NAME = "AaveV3Executor"
FACTORY = "ExecutorFactory"
FACTORIES = {"MakerExecutor": "MakerExecutorFactory", "GmxV2Executor": "GmxV2ExecutorFactory"}
"""Executors that ask their factory for more than the others do: whose factory is another."""
CREATE2_DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
"""The deterministic deployment proxy, through which the factory has one address on every chain."""
SALT = bytes(32)
"""What the factory is deployed with."""


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
def artifact(name: str = NAME) -> Artifact:
    """The committed Executor or factory; from inside the package, or from the source tree beside it."""
    body = json.loads(_place(f"{name}.json").read_text(encoding="utf-8"))
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


def differs(code: bytes, wanted: Artifact, what: str = "the Executor") -> str:
    """How code on chain differs from the artifact; empty when it is that code.

    What stands at an immutable's place, and what the storage held before the first call, this does not tell: a
    hostile constructor leaves the same code behind. ``unproven`` tells.
    """
    if not code:
        return "no contract there"
    if len(code) != len(wanted.runtime):
        return f"{len(code)} bytes of code, {what} has {len(wanted.runtime)}"
    bare = bytearray(code)
    for at, n in wanted.immutables:
        bare[at : at + n] = bytes(n)
    if bytes(bare) == wanted.runtime:
        return ""
    first = next(i for i, (a, b) in enumerate(zip(bare, wanted.runtime, strict=True)) if a != b)
    return f"other code than {what}'s, from byte {first} on"


def factory_of(name: str = NAME) -> str:
    """The contract that deploys that Executor."""
    return FACTORIES.get(name, FACTORY)


def factory_address(name: str = NAME) -> str:
    """Where its factory lies on every chain that has the deterministic deployment proxy."""
    return _create2(CREATE2_DEPLOYER, SALT, artifact(factory_of(name)).creation)


def executor_address(owner: str, name: str = NAME, venue: str = "") -> str:
    """Where that factory puts the owner's Executor: nobody else can deploy there, nor with other creation code.

    ``venue``: of a GmxV2Executor the SubaccountRouter besides, for GMX has another with each release.
    """
    salt = bytes(12) + bytes.fromhex(owner[2:])
    if venue:
        salt = keccak(encode(["address", "address"], [owner, venue]))
    return _create2(factory_address(name), salt, artifact(name).creation)


def unproven(executor: str, owner: str, factory_code: bytes, name: str = NAME, venue: str = "") -> str:
    """Why it is not proven that the Executor's own constructor, and nothing else, ran for that owner; else empty.

    ``factory_code``: what stands at ``factory_address(name)``. Storage and immutables are then the constructor's:
    EIP-1014 binds the address to factory, owner and creation code.
    """
    wrong = differs(factory_code, artifact(factory_of(name)), "the factory")
    if wrong:
        return (
            f"UNPROVEN: the Executors' factory is not known on this chain ({factory_address(name)}: {wrong})"
        )
    place = executor_address(owner, name, venue)
    if executor.lower() == place.lower():
        return ""
    return (
        f"UNPROVEN: our factory puts the Executor of {owner} at {place}; one that another made may have been given "
        "bots, routers or positions before its first call"
    )


def _create2(deployer: str, salt: bytes, creation: bytes) -> str:
    """EIP-1014."""
    body = b"\xff" + bytes.fromhex(deployer[2:]) + salt + keccak(creation)
    return str(to_checksum_address(keccak(body)[12:]))


def _place(name: str) -> Traversable:
    inside = files(__package__).joinpath(name)
    beside = Path(__file__).resolve().parents[2] / "contracts" / "artifacts" / name
    return inside if inside.is_file() else beside

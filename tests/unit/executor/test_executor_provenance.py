"""Where an Executor came from: code and owner can be imitated by a hostile constructor, its address cannot."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from eth_utils.crypto import keccak

from anvil.compile import own_artifact
from anvil.deploy_executor import CREATE2_DEPLOYER, SALT, code_of, create2_address
from anvil.deploy_executor import executor_address as deployed_at
from keeper.daemon import desks
from keeper.executor import verify
from keeper.seams import Priority
from tests import build
from tests.build import ALICE, BOB

pytestmark = pytest.mark.unit
LOOK_ALIKE = "0x" + "e1" * 20


class Codes:
    """An endpoint that knows code by address."""

    def __init__(self, **codes: bytes) -> None:
        self.codes = codes

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """The code of the address."""
        assert method == "eth_getCode"
        return "0x" + self.codes.get(str(params[0]), b"").hex()

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """Nothing is sent."""
        raise NotImplementedError


def factory_code() -> bytes:
    return verify.artifact(verify.FACTORY).runtime


def test_addresses__when_computed__then_those_of_the_deployment() -> None:
    factory = create2_address(CREATE2_DEPLOYER, SALT, keccak(code_of(own_artifact("ExecutorFactory"))))
    assert verify.factory_address() == factory
    assert verify.executor_address(ALICE) == deployed_at(factory, ALICE, own_artifact("AaveV3Executor"))


@pytest.mark.asyncio
async def test_problem__when_a_look_alike_has_the_same_code__then_unproven() -> None:
    ours, runtime = verify.executor_address(ALICE), verify.artifact().runtime
    chain = Codes(**{LOOK_ALIKE: runtime, ours: runtime, verify.factory_address(): factory_code()})
    assert await desks.problem(ours, ALICE, chain, build.block()) == ""
    said = await desks.problem(LOOK_ALIKE, ALICE, chain, build.block())
    assert said.startswith("UNPROVEN: ")
    assert ours in said
    # another's own, made by our factory, is not Alice's
    assert (await desks.problem(ours, BOB, chain, build.block())).startswith("UNPROVEN: ")


@pytest.mark.asyncio
@pytest.mark.parametrize("there", [b"", b"\x60", None])
async def test_problem__when_the_factory_is_not_there_or_another__then_unproven(there: bytes | None) -> None:
    ours = verify.executor_address(ALICE)
    code = factory_code()[:-1] + b"\0" if there is None else there
    chain = Codes(**{ours: verify.artifact().runtime, verify.factory_address(): code})
    said = await desks.problem(ours, ALICE, chain, build.block())
    assert said.startswith("UNPROVEN: the Executors' factory is not known on this chain")


@pytest.mark.asyncio
async def test_problem__when_the_code_differs__then_said_before_anything_else() -> None:
    assert await desks.problem(LOOK_ALIKE, ALICE, Codes(), build.block()) == "no contract there"

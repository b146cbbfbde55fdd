"""What waits behind a timelock over the real Aave market: seen, tried and told before it lands."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from eth_utils.crypto import keccak

from anvil.abi import encode_call
from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.compile import own_artifact
from anvil.deployment import Deployment
from anvil.transport import ChainTransport
from keeper.config import ChainSettings
from keeper.daemon import governing
from keeper.daemon.camera import Camera
from keeper.daemon.governing import CHANGE, UNREAD
from keeper.errors import Rejected
from keeper.governance import deployments
from keeper.oracle.faults import Fault
from keeper.phrases import health_text
from keeper.seams import Severity
from keeper.venues.aave_v3 import AaveV3
from tests import governing_room
from tests.anvil_reading import Reader

pytestmark = pytest.mark.anvil

DAY_S = 86_400
CONFIGURE = "configureReserveAsCollateral(address,uint256,uint256,uint256)"
QUEUE = "queueTransaction(address,uint256,string,bytes,uint256)"
CREATE = "createPayload((address,bool,uint8,uint256,string,bytes)[])"


class Council:
    """A chain whose market three timelocks may change, and a borrower whose health hangs on it."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self.chain, self.deployment, self.me = chain, deployment, chain.accounts[0]
        make = {name: own_artifact(f"{name}Double") for name in ("Timelock", "Payloads", "Pause")}
        self.locks = {name: chain.deploy(code, 2 * DAY_S) for name, code in make.items()}
        for lock in self.locks.values():
            chain.send(self.me, deployment.acl, "addPoolAdmin(address)", lock)
            # who changes a threshold is asked for his role by the manager of roles; an admin has it
            chain.send(self.me, deployment.acl, "addRiskAdmin(address)", lock)
        self.account = deployment.roles.actors[0]
        weth, usdc = deployment.token("WETH"), deployment.token("USDC")
        actors = Actors(chain, deployment)
        actors.open(
            Borrower(
                account=self.account, collateral={"WETH": 10 * weth.unit}, debt={"USDC": 20_000 * usdc.unit}
            )
        )
        self.venue = Reader(chain, deployment).venue

    def cut(self, threshold_bps: int, symbol: str = "WETH") -> bytes:
        """Calldata that sets an asset's liquidation threshold."""
        return encode_call(CONFIGURE, self.deployment.token(symbol).address, 7_000, threshold_bps, 10_500)

    def settings(self, *kinds: tuple[str, str]) -> ChainSettings:
        return governing_room.settings(self.deployment.chain_id, self.deployment.multicall, *kinds)

    def found(self, *kinds: tuple[str, str], transport: Any = None) -> list[Fault]:
        """What the governance room says of the newest block."""
        return governing_room.said(self.chain, self.settings(*kinds), self.venue, self.account, transport)

    def health(self) -> int:
        """The pool's own."""
        signature = "getUserAccountData(address)(uint256,uint256,uint256,uint256,uint256,uint256)"
        return int(self.chain.call(self.deployment.pool, signature, self.account)[5])

    def later(self, at_s: int) -> None:
        self.chain.rpc("evm_setNextBlockTimestamp", at_s)


@pytest.fixture
def council(chain: Chain, deployment: Deployment) -> Council:
    return Council(chain, deployment)


def payload(on: Council, *actions: tuple[str, bool, str, bytes]) -> int:
    """Created and queued at Aave's controller; when it may land."""
    rows = [(target, delegate, 1, 0, signature, data) for target, delegate, signature, data in actions]
    lock = on.locks["Payloads"]
    count = on.chain.call(lock, "getPayloadsCount()(uint40)")
    on.chain.send(on.me, lock, CREATE, rows)
    on.chain.send(on.me, lock, "queuePayload(uint40)", count)
    return on.chain.block().timestamp_s + 2 * DAY_S + 1


def only(faults: list[Fault], code: str) -> Fault:
    (fault,) = faults
    assert fault.code == code, fault
    return fault


def test_pending__when_a_threshold_cut_waits_in_calldata__then_its_health_is_the_pools_after_it(
    council: Council,
) -> None:
    lock = council.locks["Timelock"]
    eta_s = council.chain.block().timestamp_s + 3 * DAY_S
    cut = council.cut(7_600)
    council.chain.send(council.me, lock, QUEUE, council.deployment.configurator, 0, "", cut, eta_s)
    fault = only(council.found(("compound", lock)), CHANGE)
    before = council.health()
    assert fault.severity is Severity.WARNING
    assert "calldata, and tried" in fault.why
    assert "in 3.0 days" in fault.why
    council.later(eta_s + 1)
    run = QUEUE.replace("queue", "execute")
    council.chain.send(council.me, lock, run, council.deployment.configurator, 0, "", cut, eta_s)
    after = council.health()
    assert after < before
    assert f"becomes {health_text(after)};" in fault.why
    assert "WETH liquidation threshold 83.00% -> 76.00%" in fault.why
    # landed: nothing waits any more
    assert council.found(("compound", lock)) == []


def test_pending__when_a_payload_hides_its_calls_in_code__then_it_is_tried_and_is_the_pools_after_it(
    council: Council,
) -> None:
    d = council.deployment
    weth = d.token("WETH").address
    hidden = council.chain.deploy(
        own_artifact("CutPayloadDouble"), d.configurator, weth, 6_000, 6_500, 10_500
    )
    eta_s = payload(council, (hidden, True, "execute()", b""))
    lock = council.locks["Payloads"]
    fault = only(council.found(("aave_payloads", lock)), CHANGE)
    assert fault.severity is Severity.CRITICAL
    assert "(tried)" in fault.why
    council.later(eta_s)
    council.chain.send(council.me, lock, "executePayload(uint40)", 0)
    assert f"becomes {health_text(council.health())};" in fault.why


def test_pending__when_makers_pause_holds_a_plan__then_it_is_found_in_its_notes_and_tried(
    council: Council,
) -> None:
    d, lock = council.deployment, council.locks["Pause"]
    weth = d.token("WETH").address
    spell = council.chain.deploy(own_artifact("CutPayloadDouble"), d.configurator, weth, 6_000, 7_000, 10_500)
    tag = council.chain.rpc("eth_getCode", spell, "latest")
    hashed = keccak(hexstr=tag)
    eta_s = council.chain.block().timestamp_s + 3 * DAY_S
    fax = encode_call("execute()")
    council.chain.send(council.me, lock, "plot(address,bytes32,bytes,uint256)", spell, hashed, fax, eta_s)
    fault = only(council.found(("maker_pause", lock)), CHANGE)
    council.later(eta_s)
    council.chain.send(council.me, lock, "exec(address,bytes32,bytes,uint256)", spell, hashed, fax, eta_s)
    assert f"becomes {health_text(council.health())};" in fault.why
    assert council.found(("maker_pause", lock)) == []


class Plain(ChainTransport):
    """A node that knows no overrides: it refuses a call that brings any."""

    async def request(self, method: str, params: Any, **_: Any) -> object:
        if method == "eth_call" and len(params) > 2:
            raise Rejected(-32602, "too many arguments, want at most 2")
        return await super().request(method, params)


def test_pending__when_the_node_rehearses_nothing__then_calldata_alone_tells_it_and_hidden_calls_are_said_unread(
    council: Council,
) -> None:
    d, plain = council.deployment, Plain(council.chain)
    lock = council.locks["Payloads"]
    eta_s = payload(council, (d.configurator, False, "", council.cut(7_600)))
    kind = ("aave_payloads", lock)
    fault = only(council.found(kind, transport=plain), CHANGE)
    assert fault.why.endswith("(calldata)")
    told = fault.why.split("becomes ")[1].split(" (")[0]
    council.later(eta_s)
    council.chain.send(council.me, lock, "executePayload(uint40)", 0)
    # at today's indices: two days of interest are all that lies between
    assert abs(float(told) - council.health() / 10**18) < 2e-4
    hidden = council.chain.deploy(
        own_artifact("CutPayloadDouble"), d.configurator, d.token("WETH").address, 6_000, 6_500, 10_500
    )
    payload(council, (hidden, True, "execute()", b""))
    unread = only(council.found(kind, transport=plain), UNREAD)
    assert "not in calldata" in unread.why
    assert "no rehearsal" in unread.why


def test_pending__when_it_touches_nothing_held__then_nobody_is_told__and_a_freeze_of_what_is_owed_is(
    council: Council,
) -> None:
    d, lock = council.deployment, council.locks["Payloads"]
    kind = ("aave_payloads", lock)
    payload(council, (d.configurator, False, "", council.cut(5_000, "WBTC")))
    assert council.found(kind) == []
    usdc = d.token("USDC").address
    payload(
        council,
        (
            d.configurator,
            False,
            "setReserveFreeze(address,bool)",
            encode_call("f(address,bool)", usdc, True)[4:],
        ),
    )
    fault = only(council.found(kind), CHANGE)
    assert fault.severity is Severity.WARNING
    assert "USDC is frozen" in fault.why
    council.chain.send(council.me, lock, "cancelPayload(uint40)", 1)
    assert council.found(kind) == []


def test_pending__when_nothing_answers_there__then_it_is_said_unread_and_never_taken_for_calm(
    council: Council,
) -> None:
    nobody = "0x00000000000000000000000000000000000000B1"
    for kind in ("aave_payloads", "compound", "maker_pause"):
        fault = only(council.found((kind, nobody)), UNREAD)
        assert fault.subject == nobody
        assert fault.severity is Severity.WARNING


def test_check__when_no_timelock_is_known_of_a_market__then_it_is_said(council: Council) -> None:
    chain = council.settings()
    camera = Camera(chain, ChainTransport(council.chain), None)
    site = SimpleNamespace(
        chain=chain,
        endpoints=camera.transport,
        camera=camera,
        venues={council.venue.id: council.venue},
        guarded=(),
    )
    shown = governing_room.snapshot(council.chain, camera, council.venue, council.account)
    (finding,) = asyncio.run(governing.findings(cast(Any, site), shown))
    assert (finding.code, finding.severity) == (governing.UNKNOWN, Severity.INFO)
    # Aave's own controller says nothing of a market of Aave's code that somebody else governs
    foreign = replace(council.venue.market, chain_id=1)
    assert governing._foreign(AaveV3(foreign), deployments.known(1))
    core = replace(foreign, provider="0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e")
    assert not governing._foreign(AaveV3(core), deployments.known(1))

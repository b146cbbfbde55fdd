"""What the signer lets a keeper's proxy do with Maker vaults: every argument has a rule, every byte its place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from keeper.executor import vault
from keeper.executor.vault import VaultCall
from keeper.signer import policy_file
from keeper.signer.calls import Venued, calls_of
from keeper.signer.policy import SigningPolicy, spend_of
from keeper.signer.store import DayCaps
from keeper.signer.vaults import AllowedVault
from keeper.venues import registry

pytestmark = pytest.mark.unit


def address(n: int) -> str:
    return str(to_checksum_address(n.to_bytes(20)))


ACTIONS, MANAGER, GEM_JOIN, GEM, DAI_JOIN, DAI, PROXY = (address(n) for n in range(1, 8))
VENUED = Venued(
    spender=PROXY,
    units_max={GEM: 50, DAI: 70},
    accounts=(),
    terms=(ACTIONS, MANAGER, GEM_JOIN, GEM, DAI_JOIN, DAI, 12, 13),
)
LOCK = VaultCall(actions=ACTIONS, manager=MANAGER, join=GEM_JOIN, vault=12, units=50, wipes=False)
WIPE = replace(LOCK, join=DAI_JOIN, vault=13, units=70, wipes=True)


def allowed(data: bytes) -> bool:
    rules = calls_of("maker", VENUED)
    return any(r.refuses(data) is None for r in rules if r.selector == data[:4])


@pytest.mark.parametrize("call", [LOCK, WIPE])
def test_call__as_the_venue_encodes_it__is_allowed_and_reads_back(call: VaultCall) -> None:
    assert vault.call_from(vault.calldata(call)) == call
    assert allowed(vault.calldata(call))


@pytest.mark.parametrize(
    "call",
    [
        replace(LOCK, actions=address(99)),
        replace(LOCK, manager=address(99)),
        replace(LOCK, join=DAI_JOIN),
        replace(LOCK, wipes=True),
        replace(LOCK, vault=14),
        replace(LOCK, units=51),
        replace(LOCK, units=0),
        replace(WIPE, join=GEM_JOIN),
        replace(WIPE, units=71),
    ],
)
def test_call__another_contract_vault_or_amount__is_refused(call: VaultCall) -> None:
    assert not allowed(vault.calldata(call))


def test_calldata__one_bit_off_anywhere__is_refused_or_another_allowed_call() -> None:
    good = vault.calldata(LOCK)
    for i in range(len(good)):
        for bit in range(8):
            bad = good[:i] + bytes([good[i] ^ 1 << bit]) + good[i + 1 :]
            read = vault.call_from(bad)
            # what still reads is a whole call of its own, which the rule judges by its arguments
            assert isinstance(read, str) or vault.calldata(read) == bad
            if allowed(bad):
                assert isinstance(read, VaultCall)
                assert read == replace(LOCK, vault=read.vault, units=read.units)
    assert not allowed(good + b"\0")
    assert not allowed(good[:-1])


def test_calls__without_a_proxy__allow_nothing() -> None:
    assert calls_of("maker", replace(VENUED, spender="0x" + "00" * 20)) == ()
    assert calls_of("of no kind", VENUED) == ()


def test_compound__supply_to__only_for_guarded_accounts_and_is_counted_as_spent() -> None:
    venue = Venued(spender=PROXY, units_max={GEM: 50}, accounts=(address(40),))
    (rule,) = registry.signed("compound_v3", venue)
    words = [int(address(40), 16), int(GEM, 16), 50]

    def data(*values: int) -> bytes:
        return bytes.fromhex("4232cd63") + b"".join(v.to_bytes(32) for v in values)

    assert rule.refuses(data(*words)) is None
    assert spend_of(data(*words)) == (GEM.lower(), 50)
    for at, other in ((0, 41), (1, 99), (2, 51), (2, 2**256 - 1)):
        assert rule.refuses(data(*words[:at], other, *words[at + 1 :])) is not None


@pytest.mark.parametrize("call, spent", [(LOCK, (GEM.lower(), 50)), (WIPE, (DAI.lower(), 70))])
def test_spend__of_a_lock_or_a_wipe__is_the_token_that_the_proxy_pulls(
    call: VaultCall, spent: tuple[str, int]
) -> None:
    rules = calls_of("maker", VENUED)
    assert spend_of(vault.calldata(call), rules) == spent
    assert spend_of(vault.calldata(replace(call, vault=14)), rules) == ("", 0), "nobody's vault has no rule"
    assert spend_of(vault.EXECUTE + b"\0", rules) == ("", 0)


def test_spend__by_a_rule_of_before_it_said_its_token__is_not_known() -> None:
    older = [replace(r, token="") for r in calls_of("maker", VENUED) if isinstance(r, AllowedVault)]
    assert len(older) == 2
    assert older[0].refuses(vault.calldata(LOCK)) is None
    assert spend_of(vault.calldata(LOCK), older) == ("", 0)


def test_policy_file__with_vaults_of_before_they_said_their_token__reads_back(tmp_path: Path) -> None:
    policy = SigningPolicy(
        chain_id=1, address=address(50), calls=calls_of("maker", VENUED), fee_wei_max=10**18
    )
    body = json.loads(policy_file.to_text(policy, DayCaps(fee_wei=1, units={})))
    assert [v.pop("token") for v in body["vaults"]] == [GEM, DAI]
    path = tmp_path / "policy.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(body))
    read, _ = policy_file.load(path)
    assert read.calls == tuple(replace(r, token="") for r in policy.calls if isinstance(r, AllowedVault))


def test_policy_file__with_vaults__reads_back_the_same(tmp_path: Path) -> None:
    policy = SigningPolicy(
        chain_id=1, address=address(50), calls=calls_of("maker", VENUED), fee_wei_max=10**18
    )
    caps = DayCaps(fee_wei=10**19, units={})
    path = tmp_path / "policy.json"
    path.touch(mode=0o600)
    path.write_text(policy_file.to_text(policy, caps))
    assert policy_file.load(path) == (policy, caps)

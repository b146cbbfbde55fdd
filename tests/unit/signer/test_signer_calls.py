"""What each kind of venue lets a keeper call, argument by argument."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import encode

from keeper.allowed import Venued
from keeper.signer.calls import KINDS, calls_of
from keeper.signer.policy import SigningPolicy, spend_of
from keeper.signer.policy_file import load, to_text
from keeper.signer.store import DayCaps
from keeper.units import UINT256_MAX
from keeper.venues import registry
from keeper.venues.aave_v3.signing import aave_v3_calls

pytestmark = pytest.mark.unit
COMET, TOKEN, OWNER = ("0x" + b * 20 for b in ("Ca", "Da", "eA"))


def venued(most: int | None = 7) -> Venued:
    return Venued(spender=COMET, units_max={TOKEN: most}, accounts=(OWNER,))


def test_calls__when_the_kind_has_no_rule__then_nothing_may_be_called() -> None:
    assert calls_of("unheard_of", venued()) == registry.signed("unheard_of", venued()) == ()


@pytest.mark.parametrize("kind", [k.name for k in registry.KINDS])
def test_calls__of_every_kind_that_ships__are_told_in_one_place_only(kind: str) -> None:
    nested = set(KINDS) & {kind}
    assert (registry.part(kind, "signing") is None) == bool(nested)


def test_calls__when_aave__then_those_of_the_pool() -> None:
    assert registry.signed("aave_v3", venued()) == aave_v3_calls(COMET, {TOKEN: 7}, (OWNER,))


def test_calls__when_aave_v2__then_a_deposit_is_known_as_spent_through_a_written_policy_too(
    tmp_path: Path,
) -> None:
    calls = registry.signed("aave_v2", venued())
    assert {c.name for c in calls} == {"deposit", "repay"}
    data = calls[0].selector + encode(["address", "uint256", "address", "uint16"], [TOKEN, 7, OWNER, 0])
    assert calls[0].refuses(data) is None
    assert calls[0].refuses(
        data[:4] + encode(["address", "uint256", "address", "uint16"], [TOKEN, 8, OWNER, 0])
    )
    assert spend_of(data) == ("", 0), "the signer itself knows nothing of it"
    policy = SigningPolicy(chain_id=1, address=OWNER, calls=calls, fee_wei_max=10**18)
    path = tmp_path / "policy.json"
    path.write_text(to_text(policy, DayCaps(fee_wei=1, units={})))
    path.chmod(0o600)
    read, _ = load(path)
    assert spend_of(data, read.calls) == (TOKEN.lower(), 7)


@pytest.mark.parametrize("most, bound", [(7, 7), (None, UINT256_MAX - 1), (0, 0)])
def test_calls__when_compound__then_supply_to_the_guarded_within_the_bound_only(
    most: int | None, bound: int
) -> None:
    (call,) = registry.signed("compound_v3", venued(most))
    to, token, units = call.arguments
    assert (call.target, call.name) == (COMET, "supplyTo")
    assert (to.kind, to.among) == ("address", frozenset({OWNER.lower()}))
    assert (token.kind, token.among) == ("address", frozenset({TOKEN.lower()}))
    assert (units.kind, units.at_most, units.among) == ("uint256", bound, frozenset())


@pytest.mark.parametrize("most, bound", [(7, 7), (None, UINT256_MAX - 1), (0, 0)])
@pytest.mark.parametrize(
    "kind, terms",
    [
        ("maker", (COMET, COMET, COMET, TOKEN, COMET, TOKEN, 12)),
        ("gmx_v2", (COMET, COMET, COMET, TOKEN, 1, COMET)),
        ("gmx_v2", (COMET, COMET, COMET, TOKEN, 1, COMET, 1)),
    ],
    ids=["a vault", "an order", "an order through the Executor"],
)
def test_calls__when_the_venue_has_a_rule_of_its_own__then_a_bound_of_nothing_is_a_bound(
    kind: str, terms: tuple[str | int, ...], most: int | None, bound: int
) -> None:
    there = replace(venued(most), terms=terms, prices={COMET: 10**15}, fee_wei_max=1)
    rules = [r for r in calls_of(kind, there) if hasattr(r, "units_max")]
    assert rules
    assert {r.units_max for r in rules} == {bound}

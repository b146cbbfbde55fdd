"""What the daemon writes down for a signer: the pools that may lend, and a day's bound for what a vault takes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keeper.daemon import senders
from keeper.daemon.facts import Guarded
from keeper.daemon.senders import ACTIONS_PER_DAY, PRICE_FALL, Limits, signing_policy
from keeper.daemon.wiring import Site
from keeper.executor import vault
from keeper.model import Mandate, Side
from keeper.signer.policy import SigningPolicy
from keeper.signer.spending import spent
from keeper.signer.vaults import AllowedVault
from keeper.units import UINT256_MAX, WAD
from tests import build
from tests.build import DAI, USDC, WBTC, WETH
from tests.mandates import KEY, asset, mandate, means
from tests.unit.signer.test_signer_orders import tx
from tests.unit.signer.test_signer_vaults import LOCK, VENUED, WIPE

pytestmark = pytest.mark.unit
BETWEEN = "0x" + "bE" * 20


def site(*mandates: Mandate, venue: Any = None) -> Site:
    """A chain with those positions guarded on one venue."""
    guarded = tuple(
        Guarded(label="a", policy=build.policy(), venue_id=build.VENUE, id=m.id) for m in mandates
    )
    chain = SimpleNamespace(name="local", chain_id=build.CHAIN_ID, swap_via=(BETWEEN,))
    return cast(
        "Site", SimpleNamespace(chain=chain, guarded=guarded, venues={build.VENUE: venue} if venue else {})
    )


def test_orders__of_two_positions_on_one_executor__may_borrow_from_pools_of_either() -> None:
    plain = mandate()
    other = replace(
        plain,
        id=build.position_id(build.BOB),
        key="0x" + "77" * 32,
        assets=(asset(WBTC, Side.COLLATERAL), asset(USDC, Side.DEBT)),
    )
    there = replace(means(), mandates=(plain, other))
    policy, _ = signing_policy(site(plain, other), there, build.WALLET)
    listed = {t.address.lower() for t in (WETH, WBTC, USDC)}
    assert [o.position for o in policy.orders] == [KEY, other.key]
    assert [o.via for o in policy.orders] == [listed | {BETWEEN.lower()}] * 2


class Signing:
    """A signer in process, with the policy that it was given last."""

    address = build.WALLET

    def __init__(self) -> None:
        self.policy: SigningPolicy | None = None

    def renew(self, policy: SigningPolicy) -> None:
        self.policy = policy


def test_limits__when_an_executor_comes_that_they_do_not_know__then_told_at_once_and_not_again() -> None:
    here, signer, with_one = site(mandate()), Signing(), means()
    limits = Limits(here, cast(Any, signer), build.means())
    limits.follow(build.means())
    assert signer.policy is None
    limits.follow(with_one)
    assert signer.policy is not None
    assert [o.position for o in signer.policy.orders] == [KEY]
    signer.policy = None
    limits.follow(with_one)
    limits.follow(build.means())
    assert signer.policy is None, "what is gone can wait"
    # renewed while it could not be read
    limits.renew(build.means())
    limits.follow(with_one)
    assert signer.policy.orders
    Limits(here, cast(Any, object()), build.means()).follow(with_one)  # a policy file of its own


@pytest.mark.parametrize("at_start", [True, False], ids=["at the start", "since a renewal"])
def test_limits__when_a_few_show_what_is_new__then_what_is_known_of_the_others_stays(
    at_start: bool,
) -> None:
    there = replace(mandate(), id=build.position_id(build.BOB), key="0x" + "77" * 32)
    here, signer = site(mandate(), there), Signing()
    priced = replace(means(), native_price_base=4_000 * 10**8, native_price_decimals=8)
    others = replace(priced, mandates=(there,))
    limits = Limits(here, cast(Any, signer), others if at_start else build.means())
    if not at_start:
        limits.renew(others)
    limits.follow(replace(means(), reserves=(), native_price_base=None))
    assert signer.policy is not None
    assert sorted(o.position for o in signer.policy.orders) == sorted([KEY, there.key])
    whole = signing_policy(here, replace(others, mandates=(mandate(), *others.mandates)), signer.address)[0]
    assert signer.policy.fee_wei_max == whole.fee_wei_max
    assert sorted(map(repr, signer.policy.calls)) == sorted(map(repr, whole.calls))
    assert sorted(map(repr, signer.policy.orders)) == sorted(map(repr, whole.orders))


def test_limits__when_they_cannot_be_made__then_the_block_goes_on_with_the_old_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signer = Signing()
    limits = Limits(site(mandate()), cast(Any, signer), build.means())

    def broken(*_: object) -> None:
        raise ValueError("x")

    with monkeypatch.context() as m:
        m.setattr(senders, "signing_policy", broken)
        limits.follow(means())
    assert signer.policy is None
    limits.follow(means())
    assert signer.policy is not None


def test_day_caps__of_a_vault__name_its_tokens_priced_or_not() -> None:
    gem = replace(WETH, address=VENUED.terms[3])
    venue = SimpleNamespace(
        id=build.VENUE, kind="maker", spender=VENUED.spender, tokens=(gem,), terms=VENUED.terms
    )
    dai = replace(DAI, address=VENUED.terms[5])
    priced = replace(build.means(), reserves=(build.reserve(dai),))
    policy, caps = signing_policy(site(mandate(), venue=venue), priced, build.WALLET)
    assert {c.token for c in policy.calls if isinstance(c, AllowedVault)} == {gem.address, dai.address}
    day_usd = build.policy().caps.per_day_usd
    assert caps.units[dai.address.lower()] == day_usd * PRICE_FALL * WAD
    for call, most in ((LOCK, UINT256_MAX), (WIPE, day_usd * PRICE_FALL * WAD)):
        asked = replace(tx(vault.calldata(call)), to=VENUED.spender)
        assert spent(asked, policy, caps.units).most == most


def test_day_caps__of_fees__grow_with_the_positions_that_may_all_be_in_need() -> None:
    one, two = mandate(), replace(mandate(), id=build.position_id(build.BOB), key="0x" + "77" * 32)
    priced = replace(means(), native_price_base=3_000 * 10**8, native_price_decimals=8)
    policy, alone = signing_policy(site(one), priced, build.WALLET)
    _, both = signing_policy(site(one, two), priced, build.WALLET)
    assert alone.fee_wei == policy.fee_wei_max * ACTIONS_PER_DAY
    assert 2 * alone.fee_wei - ACTIONS_PER_DAY <= both.fee_wei <= 2 * alone.fee_wei

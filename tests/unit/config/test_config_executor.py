"""An Executor in keeper.toml: where it may stand, what it changes, and what stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import parse
from keeper.errors import ConfigError
from tests.unit.config.test_config_parse import ACCOUNT, GOOD

pytestmark = pytest.mark.unit
EXECUTOR = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
NAMED = GOOD.replace('label = "vault"', f'label = "vault"\nexecutor = "{EXECUTOR}"')
HERE = Path("/etc/keeper/keeper.toml")


def test_executor__when_named__then_it_is_the_position_s_and_arming_is_asked_anew() -> None:
    plain, named = parse(GOOD, HERE), parse(NAMED, HERE)
    assert (plain.positions[0].executor, named.positions[0].executor) == (None, EXECUTOR)
    assert plain.digest != named.digest


def test_executor__when_not_named__then_swap_settings_do_not_disarm() -> None:
    swaps = f'chain_id = 1\nuniswap_quoter = "{ACCOUNT}"\nswap_via = []'
    assert parse(GOOD, HERE).digest == parse(GOOD.replace("chain_id = 1", swaps), HERE).digest
    assert parse(NAMED, HERE).digest != parse(NAMED.replace("chain_id = 1", swaps), HERE).digest


def test_executor__when_misspelt__then_the_field_is_named() -> None:
    with pytest.raises(ConfigError, match="executor"):
        parse(NAMED.replace(EXECUTOR, EXECUTOR.lower()), HERE)


def test_chain__when_known__then_quoter_router_and_the_wrapped_native_between() -> None:
    chain = parse(GOOD, HERE).chains[0]
    assert chain.uniswap_quoter is not None
    assert chain.uniswap_router is not None
    assert chain.swap_via == (chain.native_token,)


def test_chain__when_not_known__then_nothing_is_assumed() -> None:
    chain = parse(GOOD.replace("chain_id = 1\n", "chain_id = 31337\n"), HERE).chains[0]
    assert (chain.uniswap_quoter, chain.uniswap_router, chain.swap_via) == (None, None, ())


def test_policy__when_it_names_no_strategies__then_selling_is_not_among_them() -> None:
    assert parse(GOOD, HERE).policies[0].strategies == ("repay", "add_collateral")

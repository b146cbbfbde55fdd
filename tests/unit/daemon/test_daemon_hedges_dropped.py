"""Hedges by the configuration alone: under which position each is journaled, and what a dropped one leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.cli.adopt import _hedges
from keeper.clock import ManualClock
from keeper.config import Settings, parse
from keeper.daemon.hedges import Hedges, hedge_ids
from keeper.journal.write import Journal
from keeper.notify.alarm import Alarms
from keeper.seams import Severity
from keeper.venues.gmx_v2.hedged import HedgedSlot
from tests.hedge_relief import SLOT

pytestmark = pytest.mark.unit
A, B, C, D, MINE = ("0x" + f"{n}" * 20 for n in (11, 22, 33, 44, 55))
CHAINS = {"first": 31337, "second": 31338}
HEDGES = (("one", "first", C, A), ("two", "first", D, A), ("far", "second", C, B))
"""Label of the short, chain, account and market of each."""


def written(*kept: str, keyed: bool = True) -> Settings:
    """The hedges of those labels, each with a loan beside it."""
    text = f'schema = 1\n[wallet]\naddress = "{MINE}"\n[policies.default]\nstrategies = ["repay"]\n'
    text += '[policies.perp]\nstrategies = ["reduce_perp"]\n'
    for n, (name, chain_id) in enumerate(CHAINS.items()):
        market = next(m for _, chain, _, m in HEDGES if chain == name)
        text += f"""[[chains]]
name = "{name}"
chain_id = {chain_id}
[[chains.endpoints]]
url = "http://127.0.0.1:{n + 1}"
[[venues]]
name = "aave-{name}"
kind = "aave_v3"
chain = "{name}"
provider = "{B}"
[[venues]]
name = "gmx-{name}"
kind = "gmx_v2"
chain = "{name}"
provider = "{A}"
market = "{market}:{D}:short"
"""
    for n, (label, chain, account, _) in enumerate(HEDGES):
        text += f'[[positions]]\nlabel = "loan-{label}"\nvenue = "aave-{chain}"\naccount = "{account}"\n'
        text += f'[[positions]]\nlabel = "{label}"\nvenue = "gmx-{chain}"\naccount = "{account}"\npolicy = "perp"\n'
        if label in kept:
            text += f"""[[pairs]]
loan = "loan-{label}"
short = "{label}"
assets = ["WETH"]
[pairs.hedge]
key = "{key(n)}"
share_pct = 50
notional_usd_max = 10000
action_usd_max = 2000
day_usd_max = 5000
"""
            text += 'keystore = "/k.json"\npassword_file = "/k.password"\n' if keyed else ""
    return parse(text, Path("keeper.toml"))


def key(n: int) -> str:
    return "0x" + f"{66 + 11 * n}" * 20


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as opened:
        yield opened


def standing(alarms: Alarms) -> set[tuple[str, str]]:
    return {(a.code, a.subject) for a in alarms.standing}


def test_hedge_ids__from_the_configuration__are_those_under_which_orders_are_journaled() -> None:
    ids = hedge_ids(written("one", "two", "far"))
    for label, chain, account, market in HEDGES:
        margin = replace(SLOT.collateral, address=D)
        slot = replace(SLOT, chain_id=CHAINS[chain], market=market, collateral=margin)
        assert ids[label] == HedgedSlot(slot).position_id(account)
    assert hedge_ids(written("two")).keys() == {"two"}
    assert hedge_ids(written("one", keyed=False)) == {}


def test_adopt__with_two_hedges_on_a_chain__asks_each_by_its_own_journal(journal: Journal) -> None:
    settings = written("one", "two", "far")
    ids = hedge_ids(settings)
    asked = [(seen.hedge, address) for seen, address in _hedges(settings, journal, "first")]
    assert asked == [(ids["one"], key(0)), (ids["two"], key(1))]
    assert [address for _, address in _hedges(settings, journal, "second")] == [key(2)]


def test_reload__that_drops_a_hedge__ends_what_stands_of_it_and_of_no_other(journal: Journal) -> None:
    before = hedge_ids(written("one", "two", "far"))
    alarms = Alarms(journal.record, ManualClock(1.0), CHAINS["first"])
    rescue = str(before["one"]).replace("hedge:", "gmx_v2:")
    for subject in (str(before["one"]), str(before["two"]), rescue):
        for code in ("order_untold", "hedge_not_sent", "order_frozen"):
            alarms.raise_alarm(Severity.WARNING, code, subject, "it stands")
    for label in ("one", "two", "far"):
        for code in ("hedge_stopped", "hedge_unread"):
            alarms.raise_alarm(Severity.WARNING, code, label, "it stands")
    stood = standing(alarms)
    Hedges(written("two", "far"), journal, alarms, ManualClock(1.0), lambda _: None)
    ended = {("order_untold", str(before["one"])), ("hedge_not_sent", str(before["one"]))}
    # the one of the other chain's daemon is nobody's here
    ended |= {(code, label) for code in ("hedge_stopped", "hedge_unread") for label in ("one", "far")}
    assert stood - standing(alarms) == ended
    Hedges(written("two", keyed=False), journal, alarms, ManualClock(1.0), lambda _: None)
    assert ("order_untold", str(before["two"])) not in standing(alarms)
    assert ("order_untold", rescue) in standing(alarms)

"""A loan and its hedge in keeper.toml: opt-in, and what it lacks is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keeper.config import Settings, parse
from keeper.config.changes import changes
from keeper.errors import ConfigError
from keeper.units import wad_from

pytestmark = pytest.mark.unit

A, B, C, KEY = ("0x" + f"{n:02d}" * 20 for n in (11, 22, 33, 44))
PAIR = '[[pairs]]\nloan = "loan"\nshort = "short"\nassets = ["WETH"]\n'
LINES = 'trigger = "1.15"\ntarget = "1.30"\n'
HEDGE = f"""[pairs.hedge]
key = "{KEY}"
share_pct = 50
notional_usd_max = 10000
action_usd_max = 2000
day_usd_max = 5000
"""


def read(more: str, *, strategies: str = '["repay"]', side: str = "short") -> Settings:
    return parse(written(more, strategies=strategies, side=side), Path("keeper.toml"))


def written(more: str, *, strategies: str = '["repay"]', side: str = "short") -> str:
    return f"""schema = 1
[wallet]
address = "{B}"
[[chains]]
name = "local"
chain_id = 31337
[[chains.endpoints]]
url = "http://127.0.0.1:1"
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "local"
provider = "{B}"
[[venues]]
name = "gmx"
kind = "gmx_v2"
chain = "local"
provider = "{A}"
market = "{A}:{B}:{side}"
[[positions]]
label = "loan"
venue = "aave"
account = "{C}"
[[positions]]
label = "short"
venue = "gmx"
account = "{C}"
policy = "perp"
[policies.default]
strategies = {strategies}
[policies.perp]
strategies = ["reduce_perp"]
{more}"""


def test_pair__as_written__loads_and_is_bound_to_arming() -> None:
    plain, paired = read(""), read(PAIR + LINES + HEDGE)
    assert plain.pairs == ()
    (pair,) = paired.pairs
    assert (pair.loan, pair.short, pair.assets) == ("loan", "short", ("WETH",))
    assert (pair.trigger_wad, pair.target_wad) == (wad_from("1.15"), wad_from("1.30"))
    assert pair.take_profit is False
    assert pair.hedge is not None
    assert (pair.hedge.key, pair.hedge.day_usd_max) == (KEY, 5000)
    assert paired.digest != plain.digest
    assert changes(plain, paired).restart == ("pairs",)


WRONG = [
    (PAIR.replace('"loan"', '"laon"'), 'pairs[0].loan: "laon" is no position; did you mean "loan"?'),
    (PAIR.replace('short = "short"', 'short = "loan"'), "pairs[0].short: "),
    (PAIR.replace('loan = "loan"', 'loan = "short"'), "pairs[0].loan: "),
    (PAIR + PAIR, "a position is in one pair"),
    (PAIR + 'trigger = "1.15"\n', "pairs[0].target: is required"),
    (PAIR + 'trigger = "1.25"\ntarget = "1.30"\n', "pairs[0].trigger: 1.25 must be"),
    (PAIR + 'trigger = "1.11"\ntarget = "1.30"\n', "pairs[0].trigger: 1.11 must be"),
    (PAIR + 'trigger = "1.15"\ntarget = "1.50"\n', "pairs[0].target: 1.50 must be"),
    (PAIR + "take_profit = true\n", 'pairs[0].take_profit: needs "repay_from_reserve"'),
    (PAIR + "take_profit = true\n[standby]\nblocks = 3\n", "pairs[0].take_profit: a machine in [standby]"),
    (PAIR + "asets = []\n", 'pairs[0].asets: unknown key; did you mean "assets"?'),
    (PAIR + HEDGE.replace(KEY, B), "pairs[0].hedge.key: "),
    (PAIR + HEDGE.replace("5000", "1000"), "pairs[0].hedge.action_usd_max: 2000 <= day_usd_max 1000"),
    (PAIR + 'short_health = "1.0000000000000000001"\n', "pairs[0].short_health: "),
    (PAIR + 'trigger = "1.1500000000000000001"\ntarget = "1.30"\n', "pairs[0].trigger: "),
    ("pairs = 3", "pairs: 3 must be a list of tables; write [[pairs]]"),
]
NEEDED = ("key", "share_pct", "notional_usd_max", "action_usd_max", "day_usd_max")


@pytest.mark.parametrize(("more", "words"), WRONG)
def test_pair__wrong__says_which_field(more: str, words: str) -> None:
    if more.startswith("pairs ="):
        with pytest.raises(ConfigError) as seen:
            parse(f"schema = 1\n{more}", Path("keeper.toml"))
    else:
        with pytest.raises(ConfigError) as seen:
            read(more)
    assert any(words in p for p in seen.value.problems), seen.value.problems


@pytest.mark.parametrize("name", NEEDED)
def test_hedge__lacks_what_bounds_it__is_refused_by_name(name: str) -> None:
    lines = [line for line in HEDGE.splitlines() if not line.startswith(f"{name} =")]
    with pytest.raises(ConfigError) as seen:
        read(PAIR + "\n".join(lines))
    assert f"pairs[0].hedge.{name}: is required" in seen.value.problems


def test_pair__on_a_slot_of_longs__is_no_hedge() -> None:
    with pytest.raises(ConfigError) as seen:
        read(PAIR, side="long")
    assert any("it falls with the loan" in p for p in seen.value.problems)


def test_hedge__with_a_keystore__is_located_and_no_part_of_what_arming_is_bound_to() -> None:
    dry, keyed = (
        read(PAIR + HEDGE + more) for more in ("", 'keystore = "/k.json"\npassword_file = "/k.password"\n')
    )
    assert dry.hedge_keys == ()
    (key,) = keyed.hedge_keys
    assert (key.short, key.address, key.keystore) == ("short", KEY, Path("/k.json"))
    assert keyed.digest == dry.digest


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('keystore = "/k.json"\n', "hedge.password_file: is required beside keystore"),
        ('password_file = "/k"\n', "hedge.keystore: is required beside password_file"),
        ('keystore = "/k.json"\npassword_file = "/k"\n[standby]\n', "hedges nothing"),
    ],
)
def test_hedge__with_half_a_key_or_on_a_standby__is_refused_by_name(more: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(PAIR + HEDGE + more)
    assert any(why in problem for problem in refused.value.problems)


@pytest.mark.parametrize(("field", "at"), [("kind", 0), ("chain", 0), ("chain", 1)])
@pytest.mark.parametrize("value", ['["local"]', "{ local = 1 }"])
def test_pair__when_its_venue_names_no_name__then_refused_in_words(field: str, at: int, value: str) -> None:
    name = ("aave", "gmx")[at]
    text = re.sub(rf'(name = "{name}"\n(?:.*\n)??{field} = ).*', rf"\g<1>{value}", written(PAIR))
    assert value in text
    with pytest.raises(ConfigError) as refused:
        parse(text, Path("keeper.toml"))
    assert any(p.startswith(f"venues[{at}].{field}: ") for p in refused.value.problems)

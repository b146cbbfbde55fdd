"""Positions of a configuration replayed each under the policy that guards it: as alone under it by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from keeper.cli import app
from keeper.cli.replay import Asked
from keeper.errors import ConfigError
from keeper.model import Position
from keeper.replay import live_perps
from keeper.replay.perps import PerpAccount
from tests import perps
from tests.unit.cli.test_cli_replay_live_perps import FALL, loan, read
from tests.unit.config.test_config_parse import GOOD

pytestmark = pytest.mark.unit
POLICY = """
[policies.{name}]
warn = {warn}
trigger = {trigger}
target = {target}
emergency = {emergency}
hysteresis = 0.005
strategies = ["{strategy}"]
stress_pct = 0
{more}
[policies.{name}.caps]
per_action_usd = 50000
per_day_usd = 200000
gas_usd_max = 300
gas_usd_emergency = 500
"""
LEVELS: Mapping[str, tuple[float, float, float, float]] = {
    "near": (1.14, 1.10, 1.14, 1.05),
    "far": (1.20, 1.16, 1.30, 1.05),
    "perp": (1.08, 1.05, 1.07, 1.02),
}
"""Warn, trigger, target and emergency."""
GUARDS = {"vault": "near", "second": "far", "long": "perp"}
LOANS = {"vault": "near", "second": "far"}
SAID = "each position is replayed under the policy that guards it: "


def standing(name: str) -> Position:
    found = perps.position(perps.perp(2_000)) if name == "long" else loan()
    return replace(found, id=replace(found.id, key=name))


def written(
    folder: Path, guards: Mapping[str, str] = GUARDS, more: str = "", **levels: Sequence[float]
) -> None:
    """The configuration: who is guarded by which policy; ``levels`` in place of a policy's, ``more`` of perp's."""
    head, tail = GOOD.split("[[positions]]")
    account = next(line for line in tail.splitlines() if line.startswith("account"))
    text = head
    for n, (label, policy) in enumerate(guards.items()):
        at = account if not n else f'account = "0x{str(n) * 40}"'
        text += f'[[positions]]\nlabel = "{label}"\nvenue = "aave"\npolicy = "{policy}"\n{at}\n'
        text += "accept_thin_emergency = true\n"
    for name, own in LEVELS.items():
        named = dict(zip(("warn", "trigger", "target", "emergency"), levels.get(name, own), strict=True))
        strategy = "reduce_perp" if name == "perp" else "deleverage"
        text += POLICY.format(
            name=name, strategy=strategy, more=more if name == "perp" else "lead_pct = 2", **named
        )
    (folder / "keeper.toml").write_text(text)


def line(folder: Path, *options: str) -> list[str]:
    rows = (f"{3_600 * n},ETH/USDT,{p},{p},{p},{p}\n" for n, p in enumerate(FALL, 1))
    (folder / "eth.csv").write_text("ts,symbol,open,high,low,close\n" + "".join(rows))
    given = ["replay", "--prices", str(folder / "eth.csv"), "--config", str(folder / "keeper.toml")]
    return [*given, "--field", "close", *options]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    written(tmp_path)
    read(monkeypatch, {name: standing(name) for name in GUARDS})
    return tmp_path


def typed(folder: Path, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, line(folder, *options))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def replayed(folder: Path, *options: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, line(folder, "--json", *options))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def replay_asked(folder: Path) -> Asked:
    """The options of a command that asks for nothing but the configuration's positions."""
    given: dict[str, Any] = {f.name: None for f in fields(Asked)}
    texts = ("policy", "beside", "wallet", "peg")
    off = ("own_levels", "sweep", "chain")
    found = {**given, **dict.fromkeys(texts, ""), **dict.fromkeys(off, False)}
    return Asked(**{**found, "config": folder / "keeper.toml"})


def bare(name: str) -> PerpAccount:
    """One perpetual position of which only the name matters."""
    return PerpAccount(
        name=name,
        index="WETH",
        size=1.0,
        entry=1.0,
        rate=0.01,
        on_entry=True,
        minimum_usd=0.0,
        fees_usd=0.0,
        margin=(("USDC", 1.0, 1.0),),
        prices={},
    )


def of(found: dict[str, Any], name: str) -> dict[str, Any]:
    """What became of one position under each keeper."""
    return {k["keeper"]: row for k in found["keepers"] for row in k["accounts"] if row["name"] == name}


def test_config__of_several_policies__then_each_position_fares_as_alone_under_its_own_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = replayed(folder)
    assert together["policies"] == {"near": 1, "far": 1, "perp": 1}
    for name, policy in GUARDS.items():
        read(monkeypatch, {name: standing(name)})
        alone = replayed(folder, "--policy", policy)
        assert of(together, name) == of(alone, name), name
        assert {row["policy"] for row in of(together, name).values()} == {policy}
    # each keeper acted, and each by its own levels: none of this is equal for want of events
    for name, trigger in (("vault", 1.10), ("second", 1.16), ("long", 1.05)):
        for keeper in ("threshold", "ours"):
            first = next(e for e in of(together, name)[keeper]["events"] if e["what"] == "act")
            assert trigger - 0.02 < first["health_before"] < trigger, (name, keeper)


def test_config__when_levels_are_given_for_all__then_no_position_has_its_own(folder: Path) -> None:
    own = replayed(folder)
    for options in (("--policy", "far"), ("--trigger", "1.16"), ("--target", "1.3"), ("--own-levels",)):
        found = replayed(folder, *options)
        assert of(found, "vault")["ours"]["events"] != of(own, "vault")["ours"]["events"], options
        assert not any(SAID in n for n in found["notes"])
        held = "far" if "--policy" in options else None
        assert {row["policy"] for row in of(found, "vault").values()} == {held}
        assert found["policies"] == ({"far": 3} if held else {})
    both = replayed(folder, "--trigger", "1.16", "--target", "1.3")
    assert of(both, "vault")["threshold"]["events"] == of(own, "second")["threshold"]["events"]


def test_book__beside_a_configuration__then_its_loans_are_held_to_the_options_as_before(folder: Path) -> None:
    held, owed = {"asset": "WETH", "amount": 10, "threshold": 0.8}, {"asset": "USDC", "amount": 13_500}
    lent = {"name": "vault", "lending": {"collateral": [held], "debt": [owed]}}
    (folder / "book.json").write_text(json.dumps({"prices": {"WETH": 2_000, "USDC": 1}, "positions": [lent]}))
    book = ("--book", str(folder / "book.json"))
    plain = replayed(folder, *book)
    assert plain["keepers"] == replayed(folder, *book, "--trigger", "1.25", "--target", "1.4")["keepers"]
    assert plain["policies"] == {}


def test_said__then_table_json_and_page_name_each_policy_and_its_positions(folder: Path) -> None:
    told = f"{SAID}near: 1 (vault); far: 1 (second); perp: 1 (long)"
    assert told in replayed(folder)["notes"]
    assert told in typed(folder, "--report", str(folder / "page.html"))[1]
    page = (folder / "page.html").read_text()
    assert told in page
    assert "<h2>Health of vault under policy near</h2>" in page
    # limits are the policy's: that none bind would be wrong
    assert "limits do not bind" not in typed(folder)[1]
    written(folder, {**GUARDS, "second": "near"})
    assert f"{SAID}near: 2 (vault, second); perp: 1 (long)" in typed(folder)[1]


def test_figure__then_ours_is_named_by_the_policy_of_the_position_that_is_drawn(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, named = folder / "one.svg", folder / "named.svg"
    for name, policy in (("second", "far"), ("long", "perp")):
        read(monkeypatch, {name: standing(name)})
        typed(folder, "--figure", str(picture))
        assert f"ours: {policy}<" in picture.read_text()
        # lines and courses are that policy's too
        typed(folder, "--figure", str(named), "--policy", policy)
        assert picture.read_text() == named.read_text()


def test_said__of_a_policy_that_pays_from_a_wallet__then_that_there_is_none_unless_it_is_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (folder / "keeper.toml").read_text()
    (folder / "keeper.toml").write_text(text.replace('["deleverage"]', '["repay"]', 1))
    read(monkeypatch, {name: standing(name) for name in LOANS})
    told = "policy near pays from the keeper's wallet"
    found = replayed(folder)
    assert [n.startswith(told) for n in found["notes"]].count(True) == 1
    assert not [e for e in of(found, "vault")["ours"]["events"] if e["what"] == "act"]
    paid = replayed(folder, "--wallet", "USDC=9000")
    assert not any(told in n for n in paid["notes"])
    assert [e for e in of(paid, "vault")["ours"]["events"] if e["what"] == "act"]


def test_beside__then_that_policy_sails_every_loan_next_to_each_own(folder: Path) -> None:
    found = replayed(folder, "--beside", "far")
    assert [k["keeper"] for k in found["keepers"]][-2:] == ["far", "ours"]
    assert of(found, "vault")["far"]["policy"] == "far"
    assert of(found, "second")["far"]["events"] == of(found, "second")["ours"]["events"]
    assert of(found, "vault")["far"]["events"] != of(found, "vault")["ours"]["events"]
    assert of(found, "vault")["ours"] == of(replayed(folder), "vault")["ours"]


def test_beside__of_perpetuals_alone__then_that_policy_sails_them_too_by_their_venue_s_measure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(monkeypatch, {"long": standing("long")})
    found = replayed(folder, "--beside", "far")
    assert [k["keeper"] for k in found["keepers"]][-2:] == ["far", "ours"]
    alone = of(replayed(folder, "--policy", "far"), "long")["ours"]
    assert of(found, "long")["far"] == alone
    assert any(e["what"] == "act" for e in alone["events"])
    assert of(found, "long")["ours"] == of(replayed(folder), "long")["ours"] != alone
    # whatever the others are held to, levels of a configuration are levels of its venue's number
    deep = replayed(folder, "--trigger", "6", "--target", "10", "--beside", "far")
    assert of(deep, "long")["far"] == alone
    assert (
        of(deep, "long")["ours"] == of(replayed(folder, "--trigger", "6", "--target", "10"), "long")["ours"]
    )
    told = "far (--beside) is held to their venue's measure: its health is not the others'"
    assert told in deep["perps"]["said"]
    assert told not in found["perps"]["said"]


def test_beside__that_leaves_by_price__then_it_is_said_that_it_leaves_perpetuals_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(folder, more="trail_pct = {WETH = 10}")
    text = (folder / "keeper.toml").read_text()
    (folder / "keeper.toml").write_text(text.replace('"reduce_perp"', '"reduce_perp", "trailing_stop"'))
    read(monkeypatch, {"long": standing("long")})
    found = replayed(folder, "--policy", "far", "--beside", "perp")
    assert of(found, "long")["perp"]["events"] == of(found, "long")["nobody"]["events"]
    told = [s for s in found["perps"]["said"] if s.startswith("perp (--beside) leaves by price")]
    assert len(told) == 1
    assert "perp (--beside) leaves by price" in typed(folder, "--policy", "far", "--beside", "perp")[1]


def test_said__of_a_pair__then_by_name_that_it_is_not_played(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(folder, {"vault": "near", "short": "perp"})
    text = (folder / "keeper.toml").read_text().replace('"short"\nvenue = "aave"', '"short"\nvenue = "gmx"')
    slot = f'market = "{perps.OWNER}:{perps.WALLET}:short"'
    text += (
        f'[[venues]]\nname = "gmx"\nkind = "gmx_v2"\nchain = "mainnet"\nprovider = "{perps.OWNER}"\n{slot}\n'
    )
    text = text.replace("accept_thin_emergency = true\n[policies", "[policies", 1)
    (folder / "keeper.toml").write_text(text)
    hedge = perps.position(perps.perp(2_000, False))
    read(
        monkeypatch, {"vault": standing("vault"), "short": replace(hedge, id=replace(hedge.id, key="short"))}
    )
    told = "[[pairs]] are not played (vault and short): a loan and its hedge each go alone"
    assert not any("[[pairs]]" in n for n in replayed(folder)["notes"])
    pair = '[[pairs]]\nloan = "vault"\nshort = "short"\nassets = ["WETH"]\n'
    (folder / "keeper.toml").write_text(text + pair)
    for options in ((), ("--policy", "near"), ("--trigger", "1.2")):
        assert [n.startswith(told) for n in replayed(folder, *options)["notes"]].count(True) == 1, options
    # of others nothing is said
    read(monkeypatch, {"other": standing("other")})
    assert not any("[[pairs]]" in n for n in replayed(folder, "--policy", "near")["notes"])


LACKS = {
    "pays from the keeper's wallet": (("near", "add_collateral", ""), ("--wallet", "USDC=9000")),
    "pays from an Executor's reserve": (("near", "repay_from_reserve", ""), None),
    "leaves a stop on the venue": (("perp", "stop_on_venue", ""), None),
    "moves its levels with the early warning": (("near", "", "warning_target = 0.1"), "funding"),
    "asks markets of a stable": (("near", "depeg_playbook", "depeg_pct = 2"), "peg"),
}


@pytest.mark.parametrize("told", LACKS)
def test_said__of_a_way_that_a_run_has_nothing_for__then_by_the_policy_s_name_however_it_was_given(
    folder: Path, told: str
) -> None:
    from keeper.cli import replay_guards
    from keeper.config import load
    from keeper.replay import fleet, levels

    (policy, strategy, more), given = LACKS[told]
    text = (folder / "keeper.toml").read_text()
    before = "reduce_perp" if policy == "perp" else "deleverage"
    ways = ", ".join(f'"{x}"' for x in (before, strategy) if x)
    text = text.replace(f'strategies = ["{before}"]', f"strategies = [{ways}]\n{more}", 1)
    (folder / "keeper.toml").write_text(text)
    asked = replay_asked(folder)
    held = {p.name: p for p in load(asked.config).policies}
    name = next(n for n, p in GUARDS.items() if p == policy)
    loans = () if name == "long" else (fleet.Account(name=name, collateral=(), debt=()),)
    bets = (bare(name),) if name == "long" else ()
    crew = fleet.Fleet(path="", unit="USD", accounts=loans)

    def said(asked: Any, rule: levels.Rule) -> list[str]:
        return [n for n in replay_guards.said(asked, rule, crew, bets) if told in n]

    for rule in ({name: held[policy]}, held[policy]):
        (line,) = said(asked, rule)
        assert line.startswith(f"policy {policy} {told}")
    assert said(replace(asked, beside=policy), None) != []
    assert said(asked, None) == said(asked, held["far"]) == []
    if given is not None:
        whole = {"funding": asked.config} if given == "funding" else {"peg": "x"} if given == "peg" else {}
        assert said(replace(asked, **whole or {"wallet": given[1]}), held[policy]) == []


def test_judgement__of_sales_that_failed_without_a_lead__then_names_what_helps() -> None:
    from keeper.cli import replaying
    from keeper.replay import levels
    from keeper.replay.rescue import Score

    lost = Score(
        crossing=6,
        rescuable=6,
        excluded=(),
        liquidated=("vault",),
        failures=1,
        gaps=0,
        bound_usd=1.0,
        regret_usd=1.0,
    )
    plain = levels.plain(1.1, 1.25)

    def helps(found: Score, rule: levels.Rule) -> bool:
        return any("lead_pct" in s and "--own-levels" in s for s in replaying.judgement(found, rule))

    led = replace(plain, lead_bps=210)
    assert helps(lost, plain)
    assert helps(lost, {"vault": plain, "second": led})
    assert not helps(lost, led)
    assert not helps(lost, {"vault": led, "second": plain})
    # each account's own levels have a lead, levels that were too low ask for others, and a payment is sized by none
    assert not helps(lost, None)
    assert not helps(replace(lost, failures=0, gaps=1), plain)
    assert not helps(lost, replace(plain, strategies=("repay",)))


def test_labels__of_two_positions_alike__then_refused_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (folder / "keeper.toml").read_text()
    # the first has the name that one without a label is given
    (folder / "keeper.toml").write_text(
        text.replace('label = "vault"', 'label = "position-2"').replace('label = "second"\n', "")
    )
    with pytest.raises(
        ConfigError, match=r"positions: label 'position-2' names two positions; give each its"
    ):
        replayed(folder)
    written(folder)
    one, other = standing("vault"), standing("second")
    read(monkeypatch, {"vault": one})
    replayed(folder)
    named = {one.id: "vault", other.id: "vault"}
    read(monkeypatch, {"vault": one, "second": other}, labels=named)
    with pytest.raises(ConfigError, match="label 'vault' names two positions"):
        replayed(folder)


def test_keep__when_a_policy_was_changed_or_another_guards__then_old_results_are_refused(
    folder: Path,
) -> None:
    kept = ("--keep", str(folder / "kept.jsonl"))
    first = replayed(folder, *kept)
    assert replayed(folder, *kept)["keepers"] == first["keepers"]
    for changed in ({**GUARDS, "vault": "far"}, {**GUARDS, "vault": "far", "second": "near"}):
        written(folder, changed)
        with pytest.raises(ConfigError, match="is of another replay"):
            replayed(folder, *kept)
    written(folder, near=(1.14, 1.11, 1.14, 1.05))
    with pytest.raises(ConfigError, match="is of another replay"):
        replayed(folder, *kept)
    written(folder)
    assert replayed(folder, *kept)["keepers"] == first["keepers"]


def test_perp__whose_own_policy_leaves_by_price__then_it_is_left_out_by_name_and_the_rest_sails(
    folder: Path,
) -> None:
    written(folder, more="trail_pct = {WETH = 10}")
    text = (folder / "keeper.toml").read_text()
    (folder / "keeper.toml").write_text(text.replace('"reduce_perp"', '"reduce_perp", "trailing_stop"'))
    found = replayed(folder)
    assert [x["name"] for x in found["left_out"]] == ["long"]
    assert (
        "its policy perp leaves by price, which a replay knows of loans only" in found["left_out"][0]["why"]
    )
    assert found["policies"] == {"near": 1, "far": 1}
    assert found["perps"]["positions"] == 0
    code, said = typed(folder, "--policy", "perp")
    assert code == 2
    assert "perp leaves by price" in said


def test_sweep__of_a_configuration__then_it_says_that_its_grid_takes_the_place_of_policies(
    folder: Path,
) -> None:
    grid = ("--sweep", "--triggers", "1.1", "--widths", "0.04", "--folds", "1")
    told = "a sweep tries its grid on every position, whatever policy of the configuration guards it"
    found = replayed(folder, *grid)
    assert told in found["notes"]
    assert found["sweep"][0]["points"]
    assert not any(SAID in n for n in found["notes"])


def test_chain__then_one_policy_of_all_loans_is_played_and_several_are_refused_with_what_to_give(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []

    def compared(*given: Any) -> Any:
        asked.append(given[2].name)
        raise ConfigError(("played",))

    monkeypatch.setattr("anvil.replayed.compared", compared)
    monkeypatch.setattr(Path, "is_dir", lambda _: True)
    code, said = typed(folder, "--chain")
    assert code == 2
    assert "plays one policy at a time, and the configuration guards by near, far" in said.replace("│ ", "")
    written(folder, {**GUARDS, "second": "near"})
    with pytest.raises(ConfigError, match="played"):
        typed(folder, "--chain")
    assert asked == ["near"]


def test_leavers__of_each_way_to_leave_by_price__then_left_out_and_others_stay() -> None:
    from keeper.replay import levels

    plain = levels.plain(1.1, 1.2)
    policies = {
        "stays": plain,
        "trails": replace(plain, trail_pct=(("WETH", 1),)),
        "takes": replace(plain, take_profit=(("WETH", 1),)),
        "stops": replace(plain, close_prices=(("WETH", 1),)),
    }
    bets = [bare(name) for name in policies]
    kept, left = live_perps.without_leavers(bets, policies)
    assert [b.name for b in kept] == ["stays"]
    assert [name for name, _ in left] == ["trails", "takes", "stops"]

"""The command line itself: light, clear about wrong input, one exit code for each end."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.cli import app, invoke, template
from keeper.cli.endings import exit_code_of
from keeper.config import load, parse
from keeper.errors import Broken, ConfigError, Raced, Rejected, Transient
from keeper.model import Caps, Policy, PositionId

pytestmark = pytest.mark.unit

ADDRESS = "0xcA11bde05977b3631167028862bE2a173976CA11"
URL = "http://127.0.0.1:1"
HEAVY = (
    "web3",
    "numba",
    "sqlmodel",
    "sqlalchemy",
    "pydantic",
    "eth_account",
    "aiohttp",
    "numpy",
    "structlog",
)
COMMANDS = sorted(c.name or "" for c in app.registered_commands)
GOOD = f"""\
schema = 1
state_dir = "state"
[[chains]]
name = "m"
chain_id = 1
[[chains.endpoints]]
url = "{URL}/token"
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "m"
provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
[[positions]]
label = "vault"
venue = "aave"
account = "{ADDRESS}"
[policies.default]
trigger = "1.25"
target = "1.40"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A valid configuration whose state folder is empty."""
    path = tmp_path / "keeper.toml"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize(
    ("lines", "banned"),
    [
        ([["--help"], ["--version"]], HEAVY),
        # typer reads the parameters of a command through pydantic, so a command's help may import that
        ([[c, "--help"] for c in COMMANDS], tuple(name for name in HEAVY if name != "pydantic")),
    ],
)
def test_help__when_asked__then_nothing_heavy_is_imported(
    lines: list[list[str]], banned: tuple[str, ...]
) -> None:
    code = (
        "import json, sys; from keeper.cli import invoke; lines, banned = json.loads(sys.argv[1])\n"
        "assert all(invoke(line) == 0 for line in lines)\n"
        "print(sorted(set(banned) & set(sys.modules)), file=sys.stderr)"
    )
    asked = json.dumps([lines, banned])
    done = subprocess.run([sys.executable, "-c", code, asked], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help__when_asked_of_a_command__then_it_shows_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([command, "--help"]) == 0
    assert f"Example: keeper {command}" in capsys.readouterr().out


def test_commands__when_listed__then_they_are_the_documented_ones() -> None:
    assert (
        sorted(
            [
                "init",
                "keystore",
                "reload",
                "completion",
                "scan",
                "check",
                "positions",
                "shock",
                "distance",
                "risk",
                "cascade",
                "leverage",
                "replay",
                "capacity",
                "run",
                "verify",
                "watch",
                "arm",
                "disarm",
                "protect",
                "pause",
                "resume",
                "ack",
                "explain",
                "journal",
                "grant",
                "revoke",
                "renew",
                "executor",
                "adopt",
                "policy",
                "install-service",
                "demo",
                "drill",
                "canary",
            ]
        )
        == COMMANDS
    )


WITH_CONFIG = [
    ["check"],
    ["positions"],
    ["run"],
    ["run", "--once"],
    ["arm"],
    ["disarm"],
    ["pause", "--for", "30m"],
    ["explain", "vault"],
]
WITH_CONFIG += [["journal"], ["grant", "--amount", "USDC=0"], ["adopt"], ["policy"]]


@pytest.mark.parametrize("line", WITH_CONFIG)
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (GOOD, None, "no such file"),
        ("schema = 1", "schema = ", "not valid TOML"),
        ("state_dir", "stat_dir", 'stat_dir: unknown key; did you mean "state_dir"?'),
        (ADDRESS, ADDRESS.replace("cA", "CA"), f"did you mean {ADDRESS}?"),
        ('trigger = "1.25"', 'trigger = "0.99"', "policies.default.trigger"),
        ('target = "1.40"', 'target = "1.20"', "policies.default.target"),
        ("chain_id = 1", "chain_id = 1.5", "chains[0].chain_id: 1.5 must be a whole number"),
    ],
)
def test_configuration__when_wrong__then_every_command_says_so_and_exits_with_78(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    line: list[str],
    old: str,
    new: str | None,
    said: str,
) -> None:
    if new is None:
        config.unlink()
    else:
        config.write_text(GOOD.replace(old, new))
    assert invoke([*line, "--config", str(config)]) == 78
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert len(shown.err.strip().splitlines()) == 1


def test_configuration__when_much_is_wrong__then_one_message_lists_it(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(GOOD.replace("chain_id = 1", "chain_id = -1").replace('"aave_v3"', '"aave"'))
    assert invoke(["positions", "-c", str(config)]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "keeper: 2 problems in the configuration:"
    assert [x.split(":")[0].strip() for x in lines[1:]] == ["chains[0].chain_id", "venues[0].kind"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["scan", "0x12", "--rpc", URL], '"0x12" is not an address'),
        (["scan", ADDRESS.replace("cA", "CA"), "--rpc", URL], f"did you mean {ADDRESS}?"),
        (["scan", ADDRESS, "--rpc", "ftp://x/tok"], "'--rpc': is not a URL"),
        (["scan", ADDRESS], "'--rpc'"),
        (["scan", ADDRESS, "--rpc", URL, "--provider", "0x1"], "'--provider'"),
        (["init", "--from", "0x12", "--rpc", URL, "--out", "x.toml"], "'--from'"),
        (["init", "--from", ADDRESS, "--out", "x.toml"], "'--rpc': is required with --from"),
        (["init", "--out", "missing/x.toml"], "does not exist"),
        (["nothing"], "No such command 'nothing'"),
        (["run", "--twice"], "No such option"),
        (["journal", "--limit", "0"], "'--limit'"),
        (["explain"], "Missing argument"),
        (["grant"], "'--amount': is required"),
        (["grant", "--amount", "USDC=1", "--amount", "USDC=2"], "a second time"),
    ],
)
def test_argument__when_wrong__then_it_is_named_and_the_exit_code_is_2(
    line: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(line) == 2
    shown = capsys.readouterr()
    assert said.lower() in shown.err.lower().replace("\n", " ")
    assert "tok" not in shown.err
    assert "Traceback" not in shown.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("amount", ["USDC", "USDC=", "=5", "USDC=-1", "USDC=inf", "USDC=1e"])
def test_grant__when_an_amount_is_wrong__then_it_is_named(
    config: Path, amount: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["grant", "--amount", amount, "-c", str(config)]) == 2
    assert "--amount" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["arm", "disarm"])
def test_control__when_no_daemon_runs__then_it_says_so_with_69(
    config: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([command, "-c", str(config)]) == 69
    assert "no daemon answers" in capsys.readouterr().err


@pytest.mark.parametrize("line", [["journal"], ["explain", "vault"], ["explain", "vault#1"]])
def test_journal__when_there_is_none_yet__then_told_what_to_do_with_1(
    config: Path, line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([*line, "-c", str(config)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "journal-dry-run.sqlite: no journal yet" in said.err
    assert f"start `keeper run --config {config} --dry-run`" in said.err


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ([], ["market -7 %", "market -21 %", "correction 10 %"]),
        (["--ladder", "ETH"], ["ETH -7 %", "ETH -21 %"]),
        (["--ladder", "ETH", "--steps", "-1"], ["ETH -1 %"]),
        (["--grid", "ETH,BTC", "--steps", "-1"], ["ETH -1 %, BTC -1 %"]),
    ],
)
def test_shock__when_the_configuration_has_a_ladder__then_it_is_shown_or_gives_the_steps(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    first: list[str],
) -> None:
    from keeper.risk.bookfile import NamedBook

    empty = NamedBook(names=(), rows=(), prices={}, symbols={})
    monkeypatch.setattr("keeper.cli.subject.named_book", lambda *_: empty)
    config.write_text(config.read_text() + "[shocks]\nladder_pct = [-7, -21]\n")
    assert invoke(["shock", "-c", str(config), "--json", *options]) == 0
    names = [shock["name"] for shock in json.loads(capsys.readouterr().out)["shocks"]]
    assert names[: len(first)] == first


def test_explain__when_only_the_dry_run_has_a_journal__then_told_to_ask_for_that(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = load(config).journal_path.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "journal-dry-run.sqlite").touch()
    for name in ("keystore.json", "password"):
        (config.parent / name).touch()
    wallet = f'[wallet]\naddress = "{ADDRESS}"\nkeystore = "keystore.json"\npassword_file = "password"\n'
    text = config.read_text().replace("schema = 1", 'schema = 1\nmode = "live"') + wallet
    config.write_text(text)
    assert invoke(["explain", "vault", "-c", str(config)]) == 1
    assert "add --dry-run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError(("a: b",)), 78, "keeper: a: b"),
        (Transient("nobody answered"), 69, "keeper: nobody answered"),
        (Rejected(3, "execution reverted"), 69, "keeper: execution reverted (code 3)"),
        (Broken("nonce went back"), 70, "keeper: an invariant failed: nonce went back"),
        (Raced("head moved"), 1, "keeper: head moved"),
        (
            RuntimeError("two\nlines"),
            70,
            "keeper: unexpected RuntimeError: two lines; run with --debug for the traceback",
        ),
        (ExceptionGroup("g", [ValueError("x"), ExceptionGroup("h", [Broken("b")])]), 70, "b"),
        (Transient("https://x.example/token failed"), 69, "keeper: <url hidden> failed"),
        (RuntimeError("0x" + "ab" * 32), 70, "<hidden>"),
    ],
)
def test_ending__when_an_error_leaves_a_command__then_it_is_one_line_and_its_code(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(error) == code
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_debug__when_given__then_the_traceback_is_shown(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(path: Path) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("keeper.config.load", explode)
    assert invoke(["positions", "-c", str(config)]) == 70
    with pytest.raises(RuntimeError, match="boom"):
        invoke(["positions", "-c", str(config), "--debug"])


def test_init__when_no_address_is_given__then_the_file_needs_only_a_position(tmp_path: Path) -> None:
    out = tmp_path / "keeper.toml"
    assert invoke(["init", "--out", str(out), "--rpc", "https://x.example"]) == 0
    text = out.read_text()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with pytest.raises(ConfigError) as caught:
        parse(text, out)
    assert caught.value.problems == ("positions: at least one is required; add a [[positions]] table",)
    filled = text.replace("# [[positions]]", "[[positions]]").replace('# label = "my', 'label = "my')
    filled = filled.replace('# venue = "aave"', 'venue = "aave"')
    filled = filled.replace('# account = "0x..."', f'account = "{ADDRESS}"')
    assert parse(filled, out).positions[0].label == "my vault"


def test_init__when_two_files_lie_in_one_folder__then_they_share_no_journal(tmp_path: Path) -> None:
    told = set()
    for name in ("keeper.toml", "second.toml"):
        assert invoke(["init", "--out", str(tmp_path / name), "--rpc", "https://x.example"]) == 0
        text = (tmp_path / name).read_text()
        position = f'[[positions]]\nlabel = "a"\nvenue = "aave"\naccount = "{ADDRESS}"\n'
        told.add(parse(text + position, tmp_path / name).state_dir)
    assert told == {tmp_path / "keeper-state", tmp_path / "second-state"}
    scanned = template.from_guards("c", 1, "https://x.example", [guard(policy=None)], "third-state")
    assert parse(scanned, tmp_path / "third.toml").state_dir == tmp_path / "third-state"


def test_init__when_the_comments_are_taken_away__then_they_were_true(tmp_path: Path) -> None:
    """Every commented default is the default: uncommenting changes nothing."""
    import re

    text = template.from_guards("chain-1", 1, "https://x.example", [guard(policy=None)])
    plain = parse(text, tmp_path / "k.toml")
    defaults = "max_health|hysteresis|cooldown_blocks|act|strategies|idle_rate|horizon_days|rate_per_s"
    opened = re.sub(rf"^# ({defaults}|concurrency) =", r"\1 =", text, flags=re.MULTILINE)
    assert opened.count("\n# ") < text.count("\n# ") - 8
    again = parse(opened, tmp_path / "k.toml")
    assert again == plain
    assert plain.policies[0] == parse(text[: text.index("[policies")], tmp_path / "k.toml").policies[0]
    assert plain.shocks_pct == parse(text[: text.index("[shocks]")], tmp_path / "k.toml").shocks_pct


def test_init__when_a_policy_is_proposed__then_the_file_holds_it_to_the_digit(tmp_path: Path) -> None:
    proposed = Policy(
        name="policy-1",
        warn_wad=1_045_000_000_000_000_001,
        trigger_wad=1_030_000_000_000_000_000,
        target_wad=1_050_000_000_000_000_000,
        emergency_wad=1_010_100_000_000_000_000,
        max_health_wad=1_090_000_000_000_000_000,
        hysteresis_wad=1_000_000_000_000_000,
        cooldown_blocks=3,
        act="break_even",
        strategies=("add_collateral",),
        caps=Caps(per_action_usd=1, per_day_usd=2, gas_usd_max=3, gas_usd_emergency=4),
        idle_rate=0.031,
        horizon_days=2.5,
    )
    text = template.from_guards("chain-1", 1, "https://x.example", [guard(policy=proposed)])
    settings = parse(text, tmp_path / "k.toml")
    assert settings.policy("policy-1") == proposed
    assert settings.positions[0].policy == "policy-1"
    assert "# why, in words" in text


def guard(policy: Policy | None) -> template.Guard:
    id = PositionId(venue="aave_v3", chain_id=1, account=ADDRESS, key=ADDRESS)
    return template.Guard(id=id, policy=policy, why="why, in words")


def test_init__when_the_file_exists__then_it_is_kept_without_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "keeper.toml"
    out.write_text("mine")
    assert invoke(["init", "--out", str(out)]) == 2
    assert out.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert invoke(["init", "--out", str(out), "--force"]) == 0
    assert out.read_text() != "mine"


def test_check__when_nothing_is_found__then_it_says_so(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from keeper import inspection
    from keeper.daemon.wiring import Finding
    from keeper.seams import Severity

    found: list[object] = []

    async def inspect(settings: object) -> tuple[object, ...]:
        return tuple(found)

    monkeypatch.setattr(inspection, "inspect", inspect)
    assert invoke(["check", "-c", str(config)]) == 0
    assert "nothing found" in capsys.readouterr().out
    accepted = Finding(severity=Severity.INFO, code="thin_emergency", subject="vault", why="accepted")
    found.append(accepted)
    assert invoke(["check", "-c", str(config)]) == 0
    assert "thin_emergency" in capsys.readouterr().out
    found.remove(accepted)
    found.append(Finding(severity=Severity.WARNING, code="low_gas", subject="wallet", why="0 ETH"))
    assert invoke(["check", "-c", str(config), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "findings": [{"severity": "WARNING", "code": "low_gas", "subject": "wallet", "why": "0 ETH"}],
    }

"""``[alarms]`` and ``[metrics]``: whom the daemon tells, and that none of it decides about money."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import parse
from keeper.config.telling import AlarmSettings, MetricsSettings
from keeper.errors import ConfigError
from tests.unit.cli.test_cli_commands import GOOD

pytestmark = pytest.mark.unit
PATH = Path("/etc/keeper/keeper.toml")
FULL = """
[alarms]
targets_file = "credential:alarms"
quiet = "23:00-07:30"
zone = "Europe/Berlin"
escalate_after_minutes = 5
dead_man_file = "dead"
dead_man_every_s = 30
summary_at = "08:05"
[metrics]
listen = "[::1]:9464"
"""


def test_alarms__when_written__then_minutes_paths_and_seconds_and_the_digest_is_the_same() -> None:
    plain, full = parse(GOOD, PATH), parse(GOOD + FULL, PATH, credentials_dir=Path("/run/c"))
    assert (plain.alarms, plain.metrics) == (AlarmSettings(), MetricsSettings())
    assert full.alarms == AlarmSettings(
        targets_file=Path("/run/c/alarms"),
        quiet_minutes=(23 * 60, 7 * 60 + 30),
        zone="Europe/Berlin",
        escalate_after_s=300.0,
        dead_man_file=Path("/etc/keeper/dead"),
        dead_man_every_s=30.0,
        summary_minute=485,
    )
    assert full.metrics == MetricsSettings(host="::1", port=9464)
    assert full.digest == plain.digest


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('[alarms]\nquiet = "23-7"', 'alarms.quiet: "23-7" must be two times of day'),
        ('[alarms]\nquiet = "07:00-07:00"', "alarms.quiet"),
        ('[alarms]\nquiet = "24:00-07:00"', "alarms.quiet"),
        ('[alarms]\nzone = "Mars/Olympus"', "alarms.zone"),
        ('[alarms]\nzone = "../../etc/passwd"', "alarms.zone"),
        ('[alarms]\nsummary_at = "8"', "alarms.summary_at"),
        ("[alarms]\ndead_man_every_s = 1", "alarms.dead_man_every_s"),
        ('[alarms]\ntarget = "x"', "alarms.target: unknown key; did you mean"),
        ('[alarms]\ntargets_file = "credential:../x"', "alarms.targets_file"),
        ('[metrics]\nlisten = "9464"', "metrics.listen"),
        ('[metrics]\nlisten = "127.0.0.1:0"', "metrics.listen"),
        ('[metrics]\nlisten = "127.0.0.1:70000"', "metrics.listen"),
        ("alarms = 3", "alarms"),
    ],
)
def test_alarms__when_wrong__then_told_by_field(lines: str, problem: str) -> None:
    text = lines + "\n" + GOOD if lines.startswith("alarms =") else GOOD + "\n" + lines + "\n"
    with pytest.raises(ConfigError) as told:
        parse(text, PATH)
    assert problem in str(told.value)


@pytest.mark.parametrize(
    "field", ["alarms.targets_file", "alarms.dead_man_file", "page.token_file", "telegram.token_file"]
)
def test_secret_file__when_a_url_stands_in_its_place__then_refused_and_not_repeated(field: str) -> None:
    table, name = field.split(".")
    more = "chats = [1]\n" if table == "telegram" else ""
    with pytest.raises(ConfigError) as told:
        parse(f'{GOOD}\n[{table}]\n{more}{name} = "https://hook.example/s3cret"\n', PATH)
    (problem,) = told.value.problems
    assert problem.startswith(f"{field}: is a URL; write it into a file")
    assert "s3cret" not in problem


def test_name__when_it_is_a_url__then_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as told:
        parse(GOOD.replace('label = "vault"', 'label = "https://node.example/s3cret"'), PATH)
    assert "no URL" in str(told.value)
    assert "s3cret" not in str(told.value)

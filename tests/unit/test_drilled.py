"""Which configurations passed a drill: kept by digest and position, read by whoever arms one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper import drilled
from keeper.cli import invoke
from keeper.config import PositionSettings, Settings, load
from keeper.drilled import Drilled
from keeper.errors import EXIT_UNREACHABLE

pytestmark = pytest.mark.unit
CONFIG = """
schema = 1
state_dir = "state"
[[chains]]
name = "main"
chain_id = 1
endpoints = [{{name = "first", url = "http://127.0.0.1:1"}}]
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "main"
provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
[[positions]]
label = "one"
venue = "aave"
account = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
[[positions]]
label = "two"
venue = "aave"
account = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"
[policies.default]
trigger = "{trigger}"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return written(tmp_path, "1.25")


def written(folder: Path, trigger: str) -> Settings:
    path = folder / "keeper.toml"
    path.write_text(CONFIG.format(trigger=trigger))
    return load(path)


def passed(settings: Settings, position: PositionSettings, **changes: object) -> Drilled:
    plain = Drilled(
        digest=settings.digest,
        position=drilled.name_of(settings, position),
        shock="May 2021",
        largest_step=0.3,
        at_s=1.0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_drilled__nothing_kept__names_every_position(settings: Settings) -> None:
    assert drilled.missing(settings) == ["one", "two"]
    told = drilled.warning(settings)
    assert told is not None
    assert "one, two" in told
    assert "keeper drill" in told


def test_drilled__one_passed_then_both__is_named_no_more(settings: Settings) -> None:
    one, two = settings.positions
    drilled.keep(settings, passed(settings, one))
    assert drilled.missing(settings) == ["two"]
    drilled.keep(settings, passed(settings, two))
    assert drilled.missing(settings) == []
    assert drilled.warning(settings) is None
    assert drilled.place(settings).parent.stat().st_mode & 0o077 == 0


def test_drilled__configuration_changed_since__asks_for_another_drill(
    settings: Settings, tmp_path: Path
) -> None:
    for position in settings.positions:
        drilled.keep(settings, passed(settings, position))
    loosened = written(tmp_path, "1.20")
    assert loosened.digest != settings.digest
    assert drilled.missing(loosened) == ["one", "two"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[1]",
        "null",
        '{"digest": 1}',
        '{"digest": "%s", "position": "%s", "shock": "x"}',
        "x" * 9_000,
    ],
)
def test_drilled__a_line_that_is_none__counts_for_nothing_and_hides_no_other(
    settings: Settings, line: str
) -> None:
    one = settings.positions[0]
    drilled.keep(settings, passed(settings, one))
    with drilled.place(settings).open("a") as file:
        file.write(line + "\n")
    assert drilled.missing(settings) == ["two"]
    drilled.keep(settings, passed(settings, settings.positions[1]))
    assert drilled.missing(settings) == []


def test_arm__configuration_that_never_passed__is_named_whatever_the_daemon_says(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["arm", "--config", str(settings.path)]
    assert invoke(line) == EXIT_UNREACHABLE  # no daemon runs
    assert "never passed a drill with this configuration: one, two" in capsys.readouterr().err
    for position in settings.positions:
        drilled.keep(settings, passed(settings, position))
    invoke(line)
    assert "drill" not in capsys.readouterr().err

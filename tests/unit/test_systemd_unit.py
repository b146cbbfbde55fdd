"""The service files: nothing in them ends protection by itself, and no more is open than has a reason."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.cli import invoke
from keeper.installation import HIDDEN, NAMES, SHIPPED_PYTHON, UNITS, problems, service_files
from tests.bench import figures

pytestmark = pytest.mark.unit
FOLDER = Path(__file__).parents[2] / "systemd"
UNIT_FILES = [f"{name}{at}.service" for name in NAMES for at in ("", "@")]
EXPOSURE_MAX = {"keeper.service": 1.1, "keeper@base.service": 1.1, "keeper-signer.service": 0.2}
EXPOSURE_MAX |= {"keeper-signer@base.service": 0.2}
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine (package systemd)"
)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit folder of a root to which the files were written, with an instance of each template."""
    assert invoke(["install-service", "--apply", "--root", str(tmp_path)]) == 0
    folder = tmp_path / UNITS
    for name in NAMES:
        (folder / f"{name}@base.service").write_text((folder / f"{name}@.service").read_text())
    return folder


@pytest.mark.parametrize("unit", UNIT_FILES)
def test_unit__when_starts_keep_failing__then_it_is_started_again_forever(unit: str) -> None:
    lines = (FOLDER / unit).read_text().splitlines()
    head = lines[: lines.index("[Service]")]
    assert "StartLimitIntervalSec=0" in head
    assert not [x for x in lines if x.startswith("StartLimitBurst")]
    # not on-failure: a stray SIGTERM ends cleanly
    assert {"Restart=always", "RestartPreventExitStatus=78", "Type=notify", "WatchdogSec=30"} <= set(lines)
    assert "StartLimitIntervalSec=0" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_template__when_compared_with_its_unit__then_only_names_of_places_differ(name: str) -> None:
    plain = (FOLDER / f"{name}.service").read_text().splitlines()
    template = (FOLDER / f"{name}@.service").read_text().splitlines()
    changed = [(a, b) for a, b in zip(plain, template, strict=True) if a != b]
    assert changed
    assert all("%i" in b for _, b in changed)
    assert {a.partition("=")[0] for a, _ in changed} <= {
        "Description",
        "After",
        "ExecStart",
        "ExecReload",
        "StateDirectory",
        "RuntimeDirectory",
        "WorkingDirectory",
        "Environment",
        "LoadCredentialEncrypted",
    }


@pytest.mark.parametrize("name", NAMES)
def test_hardening__when_read__then_every_group_of_lines_has_its_reason(name: str) -> None:
    lines = (FOLDER / f"{name}.service.d" / "10-hardening.conf").read_text().splitlines()
    at = lines.index("[Service]")
    reasons = sum(line.startswith("#") for line in lines[at:])
    settings = sum("=" in line and not line.startswith("#") for line in lines[at:])
    assert lines[at + 1].startswith("#")
    assert reasons >= 0.6 * settings
    assert not [line for line in lines if line and not re.match(r"#|\[|[A-Za-z]+=", line)]


def test_secret__when_a_unit_needs_one__then_it_is_an_encrypted_credential() -> None:
    for unit in UNIT_FILES:
        text = (FOLDER / unit).read_text()
        settings = [x for x in text.splitlines() if not x.startswith("#")]
        given = [x for x in settings if re.search(r"keystore|password|endpoint|alarms|dead_man", x)]
        assert given
        assert all(x.startswith(("LoadCredentialEncrypted=", "ExecStart=")) for x in given)
        assert not [x for x in settings if x.startswith(("EnvironmentFile", "SetCredential"))]


def test_memory__when_code_is_compiled_in_it__then_only_the_daemon_may_write_and_execute() -> None:
    daemon, signer = ((FOLDER / f"{n}.service.d" / "10-hardening.conf").read_text() for n in NAMES)
    assert "\nMemoryDenyWriteExecute=no\n" in daemon
    assert "\nMemoryDenyWriteExecute=yes\n" in signer
    assert {"PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX"} <= set(signer.splitlines())


def test_install__when_printed__then_every_file_is_shown_and_run_by_this_python(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert invoke(["install-service", "--print"]) == 0
    out = capsys.readouterr().out
    assert [f"/{f.path}" for f in service_files(Path("/x"))] == re.findall(r"^# (/etc/\S+)$", out, re.M)
    assert out.count(f"ExecStart={sys.executable} -P -m keeper") == 4
    assert out.count(f"ExecReload={sys.executable} -P -m keeper reload --apply") == 2
    assert SHIPPED_PYTHON not in out


def test_install__when_a_file_was_changed_by_hand__then_shown_and_kept_without_force(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = installed / "keeper.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSec=3000"))
    again = ["install-service", "--apply", "--root", str(tmp_path)]
    assert invoke(again) == 1
    assert "-WatchdogSec=3000" in capsys.readouterr().out
    assert "WatchdogSec=3000" in unit.read_text()
    assert invoke([*again, "--force"]) == 0
    assert "WatchdogSec=30\n" in unit.read_text()
    assert invoke(again) == 0


@pytest.mark.parametrize("folder", HIDDEN)
def test_install__when_the_environment_is_where_no_service_sees_it__then_told(folder: str) -> None:
    assert problems(Path("/opt/keeper/.venv/bin/python"), Path("/usr")) == ()
    (why,) = problems(Path(folder) / "ann" / "venv" / "bin" / "python", Path("/usr"))
    assert "a service cannot see" in why
    assert problems(Path("/opt/keeper/.venv/bin/python"), Path("/root/.pyenv/versions/3.11.7"))


def test_install__when_neither_or_both_are_asked__then_usage() -> None:
    assert invoke(["install-service"]) == 2
    assert invoke(["install-service", "--print", "--apply"]) == 2


@needs_systemd
def test_verify__when_systemd_reads_the_units__then_it_has_nothing_to_say(installed: Path) -> None:
    assert _verified(installed) == ""
    unit = installed / "keeper.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSek=30"))
    assert "WatchdogSek" in _verified(installed)


@needs_systemd
def test_exposure__when_systemd_scores_the_units__then_no_more_is_open_than_accepted(installed: Path) -> None:
    scores = {unit: _exposure(installed, unit) for unit in EXPOSURE_MAX}
    shutil.copy(FOLDER / "options" / "own-node.conf", installed / "keeper.service.d" / "20-own-node.conf")
    own_node = _exposure(installed, "keeper.service")
    print(f"exposure: {scores}, daemon with its own node: {own_node}")
    for name, unit in (("exposure_daemon", "keeper.service"), ("exposure_signer", "keeper-signer.service")):
        bound = EXPOSURE_MAX[unit]
        figures.record(
            name, scores[unit], unit="of 10", bound=f"<= {bound}", holds=scores[unit] <= bound, n=1
        )
    assert all(score <= EXPOSURE_MAX[unit] for unit, score in scores.items())
    assert own_node <= 0.9
    (installed / "keeper.service.d" / "10-hardening.conf").unlink()
    assert _exposure(installed, "keeper.service") > 5


@needs_systemd
def test_renewing__when_systemd_reads_its_unit_and_timer__then_it_has_nothing_to_say(installed: Path) -> None:
    assert _renewing(installed, "") == ""
    assert "lacks value setting" in _renewing(installed, "never or so")


def test_renewing__its_unit__holds_a_key_of_its_own_and_never_the_keepers() -> None:
    lines = (FOLDER / "options" / "keeper-renew@.service").read_text().splitlines()
    given = {x.partition("=")[2] for x in lines if x.startswith("LoadCredentialEncrypted=")}
    daemons = {
        x for x in (FOLDER / "keeper.service").read_text().splitlines() if x.startswith("LoadCredentialEnc")
    }
    keys = {"keystore:keeper.keystore", "keystore_password:keeper.keystore_password"}
    own = {"renewer:keeper-renew.renewer", "renewer_password:keeper-renew.renewer_password"}
    # an endpoint of keeper.toml that it cannot name would be a configuration that it cannot read
    assert given == ({x.partition("=")[2] for x in daemons} - keys) | own


def _renewing(folder: Path, calendar: str) -> str:
    for kind in ("service", "timer"):
        text = (
            (FOLDER / "options" / f"keeper-renew@.{kind}").read_text().replace(SHIPPED_PYTHON, sys.executable)
        )
        text = text.replace("OnCalendar=hourly", f"OnCalendar={calendar or 'hourly'}")
        (folder / f"keeper-renew@vault.{kind}").write_text(text)
    line = [
        "systemd-analyze",
        "verify",
        *(str(folder / f"keeper-renew@vault.{k}") for k in ("service", "timer")),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=600)
    return done.stdout + done.stderr


def _verified(folder: Path) -> str:
    units = [str(folder / unit) for unit in EXPOSURE_MAX]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=600)
    return done.stdout + done.stderr


def _exposure(folder: Path, unit: str) -> float:
    line = ["systemd-analyze", "security", "--offline=true", str(folder / unit)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=600, check=True)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None
    return float(found[1])

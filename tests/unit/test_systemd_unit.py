"""The service file: nothing in it may end protection by itself, but a configuration that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
FOLDER = Path(__file__).parents[2] / "systemd"


def test_unit__when_starts_keep_failing__then_it_is_started_again_forever() -> None:
    lines = (FOLDER / "keeper.service").read_text().splitlines()
    head = lines[: lines.index("[Service]")]
    assert "StartLimitIntervalSec=0" in head
    assert not [x for x in lines if x.startswith("StartLimitBurst")]
    assert {"Restart=on-failure", "RestartSec=5", "RestartPreventExitStatus=78"} <= set(lines)
    assert "StartLimitIntervalSec=0" in (FOLDER / "README.md").read_text()

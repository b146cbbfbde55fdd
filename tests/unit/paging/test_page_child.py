"""The daemon's side of the page: which file acknowledges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.config.telling import PageSettings
from keeper.daemon.announcing import Announcer
from keeper.daemon.paging.child import PageChild
from keeper.journal.write import Journal
from tests.loop_double import settings

pytestmark = pytest.mark.unit
TOKEN = "sixteen characters and more"


async def nobody(_: dict[str, object]) -> dict[str, object]:
    return {"ok": True}


@pytest.mark.parametrize(
    ("mode", "credential", "taken"),
    [(0o600, False, True), (0o440, False, False), (0o440, True, True)],
)
def test_token__when_systemd_shows_a_wider_mode__then_taken_as_the_units_own_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, credential: bool, taken: bool
) -> None:
    given = tmp_path / "credentials"
    given.mkdir()
    file = given / "page_token"
    file.write_text(TOKEN)
    file.chmod(mode)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given if credential else tmp_path / "elsewhere"))
    clock = ManualClock()
    with Journal.open(tmp_path / "journal.sqlite", clock) as journal:
        page = PageSettings(host="127.0.0.1", port=0, token_file=file)
        configured = replace(settings(tmp_path), page=page)
        announcer = Announcer(configured, journal, clock)
        told = PageChild(configured, announcer, nobody, clock)._setup()["token"]
        alarmed = [e.data["code"] for e in journal.entries("alarm")]
    assert (told, alarmed) == ((TOKEN, []) if taken else ("", ["page_token"]))

"""The control socket is found through a file that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config.anyhow import control_path
from keeper.errors import ConfigError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "text",
    [
        'state_dir = "here"',
        "state_dir = 'here'   # a word\n[nonsense",
        'schema = 1\nstate_dir = "here"\ntrigger = 1.2O\n[x]\nstate_dir = "there"',
        '\xff\nstate_dir = "here"',
    ],
)
def test_control_path__when_the_rest_is_nonsense__then_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "k.toml").write_text(text, encoding="latin-1")
    assert control_path(tmp_path / "k.toml") == tmp_path / "here" / "control.sock"


@pytest.mark.parametrize("text", ["", "state_dir = 7", "[", "# state_dir = 'here'\n["])
def test_control_path__when_none_is_named__then_the_default(tmp_path: Path, text: str) -> None:
    (tmp_path / "k.toml").write_text(text)
    assert control_path(tmp_path / "k.toml") == Path("~/.local/state/keeper").expanduser() / "control.sock"


def test_control_path__when_there_is_no_file__then_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        control_path(tmp_path / "k.toml")

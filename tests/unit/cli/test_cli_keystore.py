"""keystore, completion and journal --copy-to: a key that nobody sees, a script that completes, a whole copy."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.cli import invoke
from keeper.clock import ManualClock
from keeper.config import load
from keeper.journal.write import Journal
from keeper.model import Entry
from tests.unit.cli.test_cli_commands import GOOD

pytestmark = pytest.mark.unit
PASSWORD = "a horse, a battery and a staple"


def test_keystore_command__when_the_file_is_open_to_others_or_there_is_no_terminal__then_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "pw"
    told.write_text(PASSWORD)
    told.chmod(0o644)
    line = ["keystore", "--out", str(tmp_path / "k.json")]
    assert invoke([*line, "--password-file", str(told)]) == 78
    assert "chmod 600" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    assert invoke(line) == 2
    assert "--password-file" in capsys.readouterr().err
    assert not (tmp_path / "k.json").exists()


def test_keystore_command__when_asked_on_a_terminal__then_the_password_is_asked_twice_and_never_shown(
    tmp_path: Path,
) -> None:
    out = tmp_path / "k.json"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "keeper", "keystore", "--out", str(out)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert process.stderr is not None
    told = ""
    for prompt, answer in (("new key: ", PASSWORD), ("again: ", "something else entirely")):
        # what is typed before the prompt is thrown away, so each answer waits for its own
        while not told.endswith(prompt):
            told += process.stderr.read(1)
        os.write(ours, f"{answer}\n".encode())
    printed, rest = process.communicate(timeout=600)
    told += rest
    assert process.returncode == 78
    assert "the two answers differ" in told
    assert PASSWORD not in printed + told
    assert not out.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion__when_asked__then_the_shell_is_told_how(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert "_KEEPER_COMPLETE=" in printed
    assert "keeper" in printed


def test_completion__when_bash_asks__then_commands_and_options_come(tmp_path: Path) -> None:
    line = (
        f'source <({sys.executable} -m keeper completion bash); PATH="{tmp_path}:$PATH"; '
        "COMP_WORDS=(keeper prot); COMP_CWORD=1; _keeper_completion keeper; echo ${COMPREPLY[@]}"
    )
    (tmp_path / "keeper").write_text(f'#!/bin/sh\nexec {sys.executable} -m keeper "$@"\n')
    (tmp_path / "keeper").chmod(0o755)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.split() == ["protect"]


def test_completion__when_the_shell_is_unknown__then_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["completion", "tcsh"]) == 2
    assert "tcsh" in capsys.readouterr().err


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "keeper.toml"
    path.write_text(GOOD)
    return path


def written(config: Path) -> Path:
    path = load(config).journal_path
    path.parent.mkdir(parents=True)
    return path


def entry(why: str) -> Entry:
    return Entry(kind="tick", chain_id=1, block_number=1, subject="", why=why)


def test_copy__when_a_daemon_is_writing__then_whole_up_to_its_last_commit(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(config)
    with Journal.open(path, ManualClock(0.0)) as journal:
        journal.record(entry("kept in the WAL"))
        assert invoke(["journal", "--config", str(config), "--copy-to", str(tmp_path / "copy.sqlite")]) == 0
        journal.record(entry("after the copy"))
    assert "whole" in capsys.readouterr().out
    copy = tmp_path / "copy.sqlite"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.glob("copy*")) == ["copy.sqlite"]
    with Journal.open(copy, ManualClock(0.0)) as again:
        assert [e.why for e in again.entries("tick")] == ["kept in the WAL"]

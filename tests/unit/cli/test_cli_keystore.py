"""keystore, completion and journal --copy-to: a key that nobody sees, a script that completes, a whole copy."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account

from keeper.cli import invoke
from keeper.clock import ManualClock
from keeper.config import load
from keeper.errors import ConfigError
from keeper.journal.copying import copy_to
from keeper.journal.write import Journal
from keeper.model import Entry
from keeper.signer.making import make_keystore
from tests.unit.cli.test_cli_commands import GOOD

pytestmark = pytest.mark.unit
PASSWORD = "a horse, a battery and a staple"
SCRYPT_N = 2**12


def test_keystore__when_made__then_only_its_owner_reads_it_and_the_password_opens_it(tmp_path: Path) -> None:
    out = tmp_path / "k.json"
    address = make_keystore(out, PASSWORD, scrypt_n=SCRYPT_N)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    secret = bytes(Account.decrypt(json.loads(out.read_text()), PASSWORD))
    assert Account.from_key(secret).address == address
    assert secret.hex() not in out.read_text()


def test_keystore__when_made_twice__then_the_keys_differ_and_nothing_is_written_over(tmp_path: Path) -> None:
    first = make_keystore(tmp_path / "a.json", PASSWORD, scrypt_n=SCRYPT_N)
    assert first != make_keystore(tmp_path / "b.json", PASSWORD, scrypt_n=SCRYPT_N)
    kept = (tmp_path / "a.json").read_bytes()
    with pytest.raises(ConfigError, match="never written over"):
        make_keystore(tmp_path / "a.json", PASSWORD, scrypt_n=SCRYPT_N)
    assert (tmp_path / "a.json").read_bytes() == kept


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "twelve chars\n"])
def test_keystore__when_the_password_is_poor__then_refused_without_a_file(
    tmp_path: Path, password: str
) -> None:
    with pytest.raises(ConfigError, match="password") as told:
        make_keystore(tmp_path / "k.json", password)
    assert not password.strip() or password.strip() not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_keystore__when_sealing_fails__then_no_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Account, "encrypt", fail)
    with pytest.raises(KeyboardInterrupt):
        make_keystore(tmp_path / "k.json", PASSWORD)
    assert not list(tmp_path.iterdir())


def test_keystore__when_a_link_lies_in_the_way__then_it_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "k.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="never written over"):
        make_keystore(tmp_path / "k.json", PASSWORD)
    assert not (tmp_path / "elsewhere").exists()


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


def test_copy__when_the_file_is_there_or_its_folder_is_not__then_refused_and_nothing_lost(
    config: Path, tmp_path: Path
) -> None:
    path = written(config)
    with Journal.open(path, ManualClock(0.0)):
        (tmp_path / "copy").write_text("mine")
        with pytest.raises(ConfigError, match="is there already"):
            copy_to(path, tmp_path / "copy")
        with pytest.raises(ConfigError, match="No such file"):
            copy_to(path, tmp_path / "none" / "copy")
    assert (tmp_path / "copy").read_text() == "mine"


def test_copy__when_the_journal_is_damaged__then_no_copy_is_kept(config: Path, tmp_path: Path) -> None:
    from keeper.errors import Broken

    path = written(config)
    with Journal.open(path, ManualClock(0.0)) as journal:
        for i in range(200):
            journal.record(entry(f"{i} " + "x" * 500))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 4096)
    with pytest.raises((Broken, ConfigError, sqlite3.DatabaseError)) as told:
        copy_to(path, tmp_path / "copy")
    assert isinstance(told.value, Broken)
    assert not list(tmp_path.glob("copy*"))

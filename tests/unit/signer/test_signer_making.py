"""A new key: sealed before it touches a disk, whole under its name or not there, and in no message."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from eth_account import Account

from keeper.errors import ConfigError
from keeper.signer import making
from keeper.signer.making import make_keystore

pytestmark = pytest.mark.unit
PASSWORD = "a horse, a battery and a staple"
SCRYPT_N = 2**12


def test_keystore__when_made__then_only_its_owner_reads_it_and_the_password_opens_it(tmp_path: Path) -> None:
    out = tmp_path / "k.json"
    address = make_keystore(out, PASSWORD, scrypt_n=SCRYPT_N)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    sealed = json.loads(out.read_text())
    secret = bytes(Account.decrypt(sealed, PASSWORD))
    assert Account.from_key(secret).address == address
    assert secret.hex() not in out.read_text()
    assert sealed["crypto"]["kdfparams"]["n"] == SCRYPT_N


def test_keystore__when_no_cost_is_named__then_that_of_the_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def seal(secret: bytes, password: str, *, scrypt_n: int) -> tuple[str, str]:
        asked.append(scrypt_n)
        return "sealed", "0xA"

    monkeypatch.setattr(making, "seal", seal)
    assert make_keystore(tmp_path / "k.json", PASSWORD[: making.PASSWORD_CHARS_MIN]) == "0xA"
    assert asked == [2**18]
    assert (tmp_path / "k.json").read_text() == "sealed"


def test_keystore__when_made_twice__then_the_keys_differ_and_nothing_is_written_over(tmp_path: Path) -> None:
    first = make_keystore(tmp_path / "a.json", PASSWORD, scrypt_n=SCRYPT_N)
    assert first != make_keystore(tmp_path / "b.json", PASSWORD, scrypt_n=SCRYPT_N)
    kept = (tmp_path / "a.json").read_bytes()
    with pytest.raises(ConfigError, match="never written over"):
        make_keystore(tmp_path / "a.json", PASSWORD, scrypt_n=SCRYPT_N)
    assert (tmp_path / "a.json").read_bytes() == kept


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "twelve chars\n", "\rtwelve chars"])
def test_keystore__when_the_password_is_poor__then_refused_without_a_file(
    tmp_path: Path, password: str
) -> None:
    with pytest.raises(ConfigError, match=r"^password: ") as told:
        make_keystore(tmp_path / "k.json", password)
    assert not password.strip() or password.strip() not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_keystore__when_sealing_is_interrupted__then_no_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Account, "encrypt", fail)
    with pytest.raises(KeyboardInterrupt):
        make_keystore(tmp_path / "k.json", PASSWORD)
    assert not list(tmp_path.iterdir())


def test_keystore__when_the_disk_is_full__then_it_says_so_without_the_password_and_no_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigError) as told:
        make_keystore(tmp_path / "k.json", PASSWORD, scrypt_n=SCRYPT_N)
    assert str(told.value) == f"{tmp_path / 'k.json'}: No space left on device"
    assert told.value.__suppress_context__
    assert not list(tmp_path.iterdir())
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("raised", "told"), [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(5, "I/O error"), ConfigError)]
)
def test_keystore__when_its_place_vanishes_under_it__then_what_happened_is_told_and_not_the_clearing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, told: type[BaseException]
) -> None:
    def gone(fd: int) -> None:
        (tmp_path / "k.json").unlink()
        raise raised

    monkeypatch.setattr(os, "fsync", gone)
    with pytest.raises(told):
        make_keystore(tmp_path / "k.json", PASSWORD, scrypt_n=SCRYPT_N)


def test_keystore__when_made__then_its_bytes_are_on_the_disk_before_the_address_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []

    def sync(fd: int) -> None:
        found = os.fstat(fd)
        synced.append((found.st_ino, found.st_size))

    monkeypatch.setattr(os, "fsync", sync)
    make_keystore(tmp_path / "k.json", PASSWORD, scrypt_n=SCRYPT_N)
    found = (tmp_path / "k.json").stat()
    assert synced == [(found.st_ino, found.st_size)]


def test_keystore__when_a_link_lies_in_the_way_or_no_folder__then_no_key_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Account, "create", lambda: pytest.fail("a key was made"))
    (tmp_path / "k.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="never written over"):
        make_keystore(tmp_path / "k.json", PASSWORD)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(ConfigError, match=r"none/k\.json: No such file or directory"):
        make_keystore(tmp_path / "none" / "k.json", PASSWORD)

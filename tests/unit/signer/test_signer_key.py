"""A key is taken from an encrypted file that nobody else can read, and is told to nobody."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import traceback
from pathlib import Path

import pytest

from keeper.errors import Broken, ConfigError
from keeper.seams import TxFields
from keeper.signer.key import Key, find_secret, load_key, read_secret
from keeper.signer.local import LocalSigner
from keeper.signer.policy import SigningPolicy
from tests.keystores import CANARY, PASSWORD, address_of, keystore

pytestmark = pytest.mark.unit


def load(folder: Path, address: str | None = None, **more: Path) -> Key:
    return asyncio.run(load_key(folder / "key.json", folder / "password", address or address_of(), **more))


def refused(folder: Path, address: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, address)
    return str(caught.value)


def hidden(text: str) -> None:
    for shape in (CANARY.hex(), repr(CANARY), str(int.from_bytes(CANARY)), PASSWORD):
        assert shape not in text


def test_load_key__when_all_is_well__then_the_address_matches(tmp_path: Path) -> None:
    keystore(tmp_path)
    assert load(tmp_path).address == address_of()
    assert load(tmp_path, address_of().lower()).reveal() == CANARY


@pytest.mark.parametrize("name", ["key.json", "password"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_load_key__when_others_may_read__then_names_file_and_mode(
    tmp_path: Path, name: str, mode: int
) -> None:
    keystore(tmp_path)
    (tmp_path / name).chmod(mode)
    said = refused(tmp_path)
    assert str(tmp_path / name) in said
    assert f"{mode:04o}" in said


@pytest.mark.parametrize("name", ["key.json", "password"])
def test_load_key__when_file_is_missing__then_names_it(tmp_path: Path, name: str) -> None:
    keystore(tmp_path)
    (tmp_path / name).unlink()
    assert f"{tmp_path / name}: No such file" in refused(tmp_path)


def test_load_key__when_file_is_a_folder__then_names_it(tmp_path: Path) -> None:
    keystore(tmp_path)
    (tmp_path / "key.json").unlink()
    (tmp_path / "key.json").mkdir()
    assert "regular file" in refused(tmp_path)


@pytest.mark.parametrize("raw", [CANARY.hex(), "0x" + CANARY.hex() + "\n"], ids=["bare", "prefixed"])
def test_load_key__when_file_is_a_raw_key__then_refused_without_telling_it(tmp_path: Path, raw: str) -> None:
    keystore(tmp_path)
    (tmp_path / "key.json").write_text(raw)
    said = refused(tmp_path)
    assert "raw private key" in said
    hidden(said)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"crypto": 5}'])
def test_load_key__when_file_is_no_keystore__then_says_so(tmp_path: Path, text: str) -> None:
    keystore(tmp_path)
    (tmp_path / "key.json").write_text(text)
    assert "no keystore v3" in refused(tmp_path)


def test_load_key__when_keystore_is_half__then_cannot_be_decrypted(tmp_path: Path) -> None:
    keystore(tmp_path)
    (tmp_path / "key.json").write_text('{"version": 3, "crypto": {"kdf": "scrypt"}}')
    assert "cannot be decrypted" in refused(tmp_path)


def test_load_key__when_password_is_wrong__then_says_so_and_hides_it(tmp_path: Path) -> None:
    keystore(tmp_path)
    (tmp_path / "password").write_text("wrong canary")
    said = refused(tmp_path)
    assert "wrong password" in said
    assert "wrong canary" not in said


def test_load_key__when_address_differs__then_names_both(tmp_path: Path) -> None:
    keystore(tmp_path)
    other = "0x" + "11" * 20
    said = refused(tmp_path, other)
    assert other in said
    assert address_of() in said


def test_find_secret__when_bare_name__then_among_the_credentials(tmp_path: Path) -> None:
    keystore(tmp_path)
    assert find_secret(Path("password"), tmp_path) == tmp_path / "password"
    key = asyncio.run(load_key(Path("key.json"), Path("password"), address_of(), credentials_dir=tmp_path))
    assert key.address == address_of()
    with pytest.raises(ConfigError, match="no such systemd credential"):
        find_secret(Path("nowhere"), tmp_path)
    with pytest.raises(ConfigError, match="CREDENTIALS_DIRECTORY"):
        find_secret(Path("nowhere"), None)


def test_find_secret__when_a_path_has_a_folder__then_taken_as_it_is_though_a_credential_bears_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "password").write_text("x")
    assert find_secret(Path("keys/password"), tmp_path) == Path("keys/password")
    assert find_secret(tmp_path / "absent", tmp_path) == tmp_path / "absent"
    # without a credential of that name, a file where the keeper was started
    monkeypatch.chdir(tmp_path / "keys")
    assert find_secret(Path("password"), None) == tmp_path / "keys" / "password"


def test_load_key__when_root_gave_it_as_a_credential__then_the_groups_bits_are_systemds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("x")
    file.chmod(0o640)
    theirs = file.stat().st_uid == 0
    if not theirs:
        pytest.skip("only root's files are credentials")
    assert read_secret(file, tmp_path) == b"x"
    with pytest.raises(ConfigError, match="mode 0640 lets others read it"):
        read_secret(file, tmp_path / "other")
    file.chmod(0o604)
    with pytest.raises(ConfigError, match="mode 0604 lets others read it"):
        read_secret(file, tmp_path)


def test_load_key__when_somebody_else_owns_the_file__then_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("x")
    file.chmod(0o600)
    owner = file.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    if owner == 0:
        # root's files are taken from root; another's are not
        os.chown(file, 12_345, -1)
        owner = 12_345
    with pytest.raises(ConfigError, match=f"is owned by user {owner}"):
        read_secret(file)


def test_key__when_shown_pickled_or_traced__then_nothing_leaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keystore(tmp_path)
    with caplog.at_level(logging.DEBUG):
        key = load(tmp_path)
        policy = SigningPolicy(chain_id=1, address=key.address, calls=(), fee_wei_max=10**18)
        signer = LocalSigner(key, policy)
        logging.getLogger("test").debug("%r %s %r", key, signer, signer)
        with pytest.raises(TypeError):
            pickle.dumps(key)
        told = [repr(key), str(key), f"{signer!r} {signer}", repr(policy), repr(vars(LocalSigner))]
        for tx in (_tx(to="0x" + "22" * 20), _tx(nonce="seven"), _tx(to="nonsense")):
            told.append(_trace(signer, tx))
        (tmp_path / "password").write_text("not it")
        try:
            load(tmp_path)
        except ConfigError as error:
            told.append("".join(traceback.TracebackException.from_exception(error).format()))
    hidden("\n".join([*told, caplog.text]))


def test_signing__when_the_library_fails__then_broken_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keystore(tmp_path)
    key = load(tmp_path)
    policy = SigningPolicy(chain_id=1, address=key.address, calls=(), fee_wei_max=10**18)
    # the policy waves through what the library cannot digest: the failure happens with the key in its frames
    monkeypatch.setattr(SigningPolicy, "refuses", lambda *_: None)
    text = _trace(LocalSigner(key, policy), _tx(nonce="seven"))
    assert "Broken: signing failed" in text
    hidden(text)


def _tx(**changes: object) -> TxFields:
    fields: dict[str, object] = {
        "chain_id": 1,
        "nonce": 0,
        "to": address_of(),
        "data": b"",
        "value_wei": 0,
        "gas_limit": 21_000,
        "max_fee_wei": 10**9,
        "tip_wei": 1,
    }
    return TxFields(**{**fields, **changes})  # type: ignore[arg-type]


def _trace(signer: LocalSigner, tx: TxFields) -> str:
    """The traceback of a refusal, with every frame's locals as a careless tool would print them."""
    try:
        asyncio.run(signer.sign(tx))
    except (Broken, TypeError, ValueError) as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    return "signed"


def test_read_secret__when_taken_or_refused__then_its_descriptor_is_closed(tmp_path: Path) -> None:
    keystore(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    read_secret(tmp_path / "password")
    (tmp_path / "password").chmod(0o644)
    with pytest.raises(ConfigError):
        read_secret(tmp_path / "password")
    assert len(os.listdir("/proc/self/fd")) == before

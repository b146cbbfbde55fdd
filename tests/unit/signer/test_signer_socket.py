"""The signer behind its socket, in this process and in one of its own: what is asked, answered and refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account

from keeper.clock import ManualClock
from keeper.errors import EXIT_BROKEN, EXIT_CONFIG, EXIT_OK, Broken, ConfigError, Transient, Unsigned
from keeper.seams import Signed, TxFields
from keeper.signer import __main__ as command
from keeper.signer import eip1559, remote
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import Key
from keeper.signer.keystore import seal
from keeper.signer.local import LocalSigner
from keeper.signer.policy import AllowedCall, Argument, SigningPolicy
from keeper.signer.policy_file import load, to_text
from keeper.signer.remote import RemoteSigner
from keeper.signer.service import KINDS, answer, fields_of, row_of, serve
from keeper.signer.store import DayCaps, Store
from keeper.units import GWEI
from keeper.venues.aave_v3.signing import aave_v3_calls
from tests.keystores import CANARY, PASSWORD, address_of, keystore
from tests.plans import ACCOUNT, CHAIN_ID, POOL, USDC, repay_call

pytestmark = pytest.mark.unit
CAPS = DayCaps(fee_wei=10**18, units={USDC.address.lower(): 10**9})
POLICY = SigningPolicy(
    chain_id=CHAIN_ID,
    address=address_of(),
    calls=aave_v3_calls(POOL, {USDC.address: 5_000_000}, [ACCOUNT]),
    fee_wei_max=10**17,
)


def tx(nonce: int = 7, *, intent: str = "a#1", gwei: int = 20) -> TxFields:
    """A repayment."""
    return TxFields(
        chain_id=CHAIN_ID,
        nonce=nonce,
        to=POOL,
        data=repay_call(1).data,
        value_wei=0,
        gas_limit=300_000,
        max_fee_wei=gwei * GWEI,
        tip_wei=GWEI,
        intent=intent,
    )


def guarded(folder: Path) -> GuardedSigner:
    """A signer that has adopted nonce 7."""
    store = Store.create(folder / "signer.sqlite")
    store.adopt(CHAIN_ID, 7, "test", 0.0)
    return GuardedSigner(Key(CANARY), POLICY, CAPS, store, ManualClock(1_000_000.0))


@contextlib.asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[Path]:
    """A signer at a socket."""
    socket = folder / "s"
    server = await serve(socket, guarded(folder))
    try:
        yield socket
    finally:
        server.close()


@contextlib.asynccontextmanager
async def saying(folder: Path, *answers: bytes) -> AsyncIterator[Path]:
    """Something at the socket that gives these answers, one a connection, then none."""
    left = list(answers)

    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(left.pop(0) if left else b"")
        writer.close()

    server = await asyncio.start_unix_server(on_client, path=str(folder / "s"))
    try:
        yield folder / "s"
    finally:
        server.close()


@pytest.mark.asyncio
async def test_remote__when_a_signer_listens__then_signs_once_and_tells_what_it_kept(tmp_path: Path) -> None:
    async with listening(tmp_path) as socket:
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        found = await RemoteSigner.open(socket, address_of().lower())
        assert found.address == address_of().lower()
        assert repr(found) == f"RemoteSigner({address_of().lower()})"
        first = await found.sign(tx())
        assert await found.sign(tx()) == first
        assert Account.recover_transaction("0x" + first.raw.hex()) == address_of()
        [kept] = await found.stored("a#1")
        assert (kept.nonce, kept.gas_limit, kept.max_fee_wei, kept.tip_wei, kept.cancel, kept.signed) == (
            7,
            300_000,
            20 * GWEI,
            GWEI,
            False,
            first,
        )
        cancel = replace(tx(gwei=30), to=address_of(), data=b"", gas_limit=60_000, tip_wei=2 * GWEI)
        await found.sign(cancel)
        assert [k.cancel for k in await found.stored("a#1")] == [False, True]
        assert await found.stored("b#1") == ()
        with pytest.raises(Broken, match="S1: nonce 9 is not the next one, 8"):
            await found.sign(tx(9, intent="c#1"))


@pytest.mark.asyncio
async def test_remote__when_it_signs_for_another_address__then_refused_by_name(tmp_path: Path) -> None:
    async with listening(tmp_path) as socket:
        with pytest.raises(ConfigError, match=f"signs for {address_of()}, wallet.address is {POOL}"):
            await RemoteSigner.open(socket, POOL)


@pytest.mark.asyncio
async def test_remote__when_nobody_listens__then_transient_at_start_and_later(tmp_path: Path) -> None:
    with pytest.raises(Transient, match=r"no signer answers at .*; is the signer running\?"):
        await RemoteSigner.open(tmp_path / "none", address_of())
    with pytest.raises(Transient, match="FileNotFoundError"):
        await RemoteSigner(tmp_path / "none", address_of()).sign(tx())


@pytest.mark.asyncio
@pytest.mark.parametrize("bad", [b"", b"nonsense\n", b"[]\n"])
async def test_remote__when_two_answers_are_lost__then_the_third_counts_and_three_are_transient(
    tmp_path: Path, bad: bytes
) -> None:
    good = json.dumps({"ok": True, "raw": "02", "hash": "0xaa"}).encode() + b"\n"
    async with saying(tmp_path, bad, bad, good) as socket:
        assert await RemoteSigner(socket, "").sign(tx()) == Signed(raw=b"\x02", hash="0xaa")
    async with saying(tmp_path, bad, bad, bad, good) as socket:
        with pytest.raises(Transient, match="no signer answers"):
            await RemoteSigner(socket, "").sign(tx())


@pytest.mark.asyncio
async def test_remote__when_the_signer_hangs__then_transient_within_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "TIMEOUT_S", 0.02)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(hang, path=str(tmp_path / "s"))
    with pytest.raises(Transient, match="TimeoutError"):
        await RemoteSigner(tmp_path / "s", "").sign(tx())
    server.close()


@pytest.mark.asyncio
async def test_remote__when_refused_of_an_unknown_kind__then_plainly_broken(tmp_path: Path) -> None:
    for said in ({"ok": False, "why": "no", "kind": "new"}, {"ok": 1, "why": "no"}, {"why": "no"}):
        async with saying(tmp_path, json.dumps(said).encode() + b"\n") as socket:
            with pytest.raises(Broken, match="no") as caught:
                await RemoteSigner(socket, "").sign(tx())
            assert type(caught.value) is Broken


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "line, words",
    [
        (b"nonsense", "malformed request (JSONDecodeError)"),
        (b"[]", "malformed request (TypeError)"),
        (b"{}", "malformed request (KeyError)"),
        (b'{"do": "dump"}', "unknown request: address, sign or stored"),
        (b'{"do": "sign"}', "malformed request (KeyError)"),
        (b'{"do": "sign", "tx": {"chain_id": "x"}}', "malformed request (ValueError)"),
        (b'{"do": "stored"}', "malformed request (KeyError)"),
    ],
)
async def test_answer__when_asked_nonsense__then_told_so_and_nothing_of_the_key(
    tmp_path: Path, line: bytes, words: str
) -> None:
    assert await answer(line, guarded(tmp_path)) == {"ok": False, "why": words}


def test_row__when_a_transaction_travels__then_the_same_arrives() -> None:
    sent = replace(tx(), max_fee_wei=2**200)
    assert fields_of(json.loads(json.dumps(row_of(sent)))) == sent
    assert set(KINDS.values()) == {"unsigned", "unwritable"}


@pytest.mark.asyncio
async def test_serve__when_a_line_is_endless__then_that_client_is_left_and_others_are_served(
    tmp_path: Path,
) -> None:
    async with listening(tmp_path) as socket:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(b"x" * 600_000)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b"", "left without a word"
        writer.close()
        reader, writer = await asyncio.open_unix_connection(str(socket))
        # two requests over one connection
        for _ in range(2):
            writer.write(b'{"do": "address"}\n')
            assert json.loads(await reader.readline()) == {"ok": True, "address": address_of()}
        writer.close()


@pytest.mark.asyncio
async def test_serve__when_a_stale_socket_is_there__then_replaced_and_a_folder_is_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "s").write_text("stale")
    before = os.umask(0o022)
    os.umask(before)
    async with listening(tmp_path) as socket:
        assert stat.S_ISSOCK(socket.stat().st_mode)
    with pytest.raises(ConfigError, match="the signer's socket cannot be made"):
        await serve(tmp_path / "none" / "s", guarded_twin(tmp_path))
    after = os.umask(before)
    assert after == before, "the mask of the process is as it was"


def guarded_twin(folder: Path) -> GuardedSigner:
    (folder / "twin").mkdir()
    return guarded(folder / "twin")


def test_guarded__when_key_and_policy_differ__then_never_built(tmp_path: Path) -> None:
    made = guarded(tmp_path)
    assert repr(made) == f"GuardedSigner({address_of()}, chain {CHAIN_ID})"
    other = replace(POLICY, address=POOL)
    with pytest.raises(ConfigError, match=f"signing policy is for {POOL}, the key for {address_of()}"):
        GuardedSigner(Key(CANARY), other, CAPS, made._store, ManualClock())
    with pytest.raises(ConfigError, match=f"signing policy is for {POOL}, the key for {address_of()}"):
        LocalSigner(Key(CANARY), other)


@pytest.mark.parametrize("error", [ValueError, TypeError, AttributeError, OverflowError])
def test_sign__when_the_signature_itself_fails__then_broken_named_by_type_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    made, local = guarded(tmp_path), LocalSigner(Key(CANARY), POLICY)

    def fail(*_: object) -> Signed:
        raise error(CANARY.hex())

    monkeypatch.setattr(eip1559, "sign", fail)
    for signer in (made, local):
        with pytest.raises(Broken, match=f"signing failed: {error.__name__}") as caught:
            asyncio.run(signer.sign(tx()))
        assert CANARY.hex() not in str(caught.value)
        assert caught.value.__suppress_context__
    assert asyncio.run(made.stored("a#1")) == ()


def test_local__when_renewed__then_the_new_limits_hold_and_never_for_another_key_or_chain() -> None:
    local = LocalSigner(Key(CANARY), POLICY)
    assert repr(local) == f"LocalSigner({address_of()}, chain {CHAIN_ID})"
    asyncio.run(local.sign(tx()))
    for other in (replace(POLICY, address=POOL), replace(POLICY, chain_id=1)):
        with pytest.raises(ConfigError, match="signing policy is for"):
            local.renew(other)
    asyncio.run(local.sign(tx()))
    local.renew(replace(POLICY, address=POLICY.address.lower(), fee_wei_max=1))
    with pytest.raises(Unsigned, match="above the cap of 1"):
        asyncio.run(local.sign(tx()))


def test_policy_file__when_it_names_any_kind_of_rule__then_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    calls = (
        AllowedCall(
            target=POOL,
            name="f",
            arguments=(
                Argument(kind="address", among=frozenset({POOL.lower()})),
                Argument(kind="uint256", among=frozenset({0, 2})),
                Argument(kind="uint256", at_most=2**200),
            ),
        ),
    )
    policy = replace(POLICY, calls=calls, fee_wei_max=2**100)
    path.write_text(to_text(policy, CAPS).replace(USDC.address.lower(), USDC.address))
    path.chmod(0o600)
    assert load(path) == (policy, CAPS)
    unknown = to_text(policy, CAPS).replace('"address":', '"adress":')
    path.write_text(unknown)
    with pytest.raises(ConfigError, match=r"members \['address', 'adress'\] are missing or unknown"):
        load(path)


def test_seal__when_opened_with_its_password__then_the_same_key() -> None:
    text, address = seal(CANARY, "pass")
    assert address == address_of()
    assert bytes(Account.decrypt(text, "pass")) == CANARY
    assert json.loads(text)["crypto"]["kdfparams"]["n"] == 2**12
    assert json.loads(seal(CANARY, "pass", scrypt_n=2**4)[0])["crypto"]["kdfparams"]["n"] == 2**4
    assert PASSWORD not in text


def lay_out(folder: Path) -> list[str]:
    """Files of a signer, and the command that runs it."""
    key, password = keystore(folder)
    policy = folder / "policy.json"
    policy.touch(0o600)
    policy.write_text(to_text(POLICY, CAPS))
    where = {"socket": folder / "s", "policy": policy, "keystore": key, "password-file": password}
    where["store"] = folder / "signer.sqlite"
    return ["run", *(part for name, path in where.items() for part in (f"--{name}", str(path)))]


def adopt(folder: Path, nonce: int) -> list[str]:
    store = ["--store", str(folder / "signer.sqlite")]
    return ["adopt", *store, "--chain-id", str(CHAIN_ID), "--nonce", str(nonce), "--why", "test"]


async def at_work(socket: Path, running: asyncio.Task[int]) -> RemoteSigner:
    """Once it answers; it takes signals then."""
    while not running.done():
        try:
            return await RemoteSigner.open(socket, address_of())
        except Transient:
            await asyncio.sleep(0.01)
    raise AssertionError(f"the signer ended: {await running}")


def test_adopt__when_there_is_no_store__then_made_and_accepted_and_never_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(adopt(tmp_path, 7)) == EXIT_OK
    assert capsys.readouterr().out == f"chain {CHAIN_ID}: the next nonce signed is 7\n"
    store = Store.open(tmp_path / "signer.sqlite")
    asyncio.run(GuardedSigner(Key(CANARY), POLICY, CAPS, store, ManualClock(1e6)).sign(tx()))
    assert command.main(adopt(tmp_path, 9)) == EXIT_CONFIG
    assert "locked" in capsys.readouterr().err
    store.close()
    assert command.main(adopt(tmp_path, 7)) == EXIT_BROKEN
    assert "nonce 7 was signed: adopting 7 would sign it a second time" in capsys.readouterr().err
    assert command.main(adopt(tmp_path, 9)) == EXIT_OK
    raw = sqlite3.connect(tmp_path / "signer.sqlite")
    assert raw.execute("SELECT chain_id, nonce, why FROM adopted").fetchall() == [
        (str(CHAIN_ID), "9", "test")
    ]
    raw.close()


def test_run__when_the_store_is_missing__then_refused_with_the_config_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(lay_out(tmp_path)) == EXIT_CONFIG
    assert "signer store is missing" in capsys.readouterr().err


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_run__when_told_to_end__then_it_has_served_and_leaves_no_socket(
    tmp_path: Path, end: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command.main(adopt(tmp_path, 7)) == EXIT_OK
    line = lay_out(tmp_path)

    async def both() -> int:
        running = asyncio.create_task(command._run(command._parser().parse_args(line)))
        await (await at_work(tmp_path / "s", running)).sign(tx())
        os.kill(os.getpid(), end)
        return await running

    assert asyncio.run(both()) == EXIT_OK
    assert not (tmp_path / "s").exists()
    assert f"signing for {address_of()} on chain {CHAIN_ID}" in capfd.readouterr().err
    store = Store.open(tmp_path / "signer.sqlite")
    assert [k.nonce for k in store.stored(CHAIN_ID, "a#1")] == [7]
    store.close()


def test_run__when_secrets_are_systemd_credentials__then_found_by_their_bare_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main(adopt(tmp_path, 7)) == EXIT_OK
    line = lay_out(tmp_path)
    line[line.index("--keystore") + 1] = "key.json"
    line[line.index("--password-file") + 1] = "password"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    async def end_soon() -> int:
        running = asyncio.create_task(command._run(command._parser().parse_args(line)))
        await at_work(tmp_path / "s", running)
        os.kill(os.getpid(), signal.SIGTERM)
        return await running

    assert asyncio.run(end_soon()) == EXIT_OK
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert command.main(line) == EXIT_CONFIG


@pytest.mark.parametrize(("group", "mode"), [([], 0o600), (["--group"], 0o660)])
def test_run__when_systemd_listens__then_it_is_told_ready_alive_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: list[str], mode: int
) -> None:
    assert command.main(adopt(tmp_path, 7)) == EXIT_OK
    line = [*lay_out(tmp_path), *group]
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)

        async def end_soon() -> int:
            running = asyncio.create_task(command._run(command._parser().parse_args(line)))
            await at_work(tmp_path / "s", running)
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == mode
            os.kill(os.getpid(), signal.SIGTERM)
            return await running

        assert asyncio.run(end_soon()) == EXIT_OK
        told = []
        while "STOPPING=1" not in told:
            told.append(systemd.recv(300).decode().partition("\n")[0])
    # a slow machine is told alive more than once
    assert told == ["READY=1", *["WATCHDOG=1"] * max(1, len(told) - 2), "STOPPING=1"]


@pytest.mark.asyncio
async def test_remote__when_the_loop_calls_the_socket_closed__then_asked_again_and_transient(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried: list[str] = []

    async def closed(path: str, **_: object) -> None:
        tried.append(path)
        raise RuntimeError("unable to perform operation; the handler is closed")

    monkeypatch.setattr(asyncio, "open_unix_connection", closed)
    with pytest.raises(Transient, match=r"no signer answers .*RuntimeError"):
        await RemoteSigner.open(tmp_path / "signer.sock", address_of())
    assert len(tried) == remote.TRIES


def test_run__when_the_path_is_too_long_for_a_socket__then_says_so_before_any_key_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    socket = tmp_path / ("s" * (command.SOCKET_MAX - len(str(tmp_path))))
    files = ("--policy", "--keystore", "--password-file", "--store")
    line = ["run", *(word for flag in files for word in (flag, "/missing"))]
    assert len(str(socket)) == command.SOCKET_MAX + 1
    assert command.main([*line, "--socket", str(socket)]) == EXIT_CONFIG
    assert capsys.readouterr().err == f"--socket: {socket} has 108 bytes, a socket's path at most 107\n"
    assert command.main([*line, "--socket", str(socket)[:-1]]) == EXIT_CONFIG
    assert "/missing" in capsys.readouterr().err

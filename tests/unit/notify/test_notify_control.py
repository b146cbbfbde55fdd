"""The control socket: private, one line each way, and never taken from a living daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from keeper.errors import Broken, ConfigError, Transient
from keeper.notify.control import ask, serve

pytestmark = pytest.mark.unit


async def echo(request: dict[str, object]) -> dict[str, object]:
    return {"ok": True, "asked": request}


async def raw(path: Path, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    answer = await reader.readline()
    writer.close()
    return answer


@pytest.mark.asyncio
async def test_ask__when_a_daemon_listens__then_its_answer_over_a_private_socket(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    server = await serve(path, echo)
    assert await ask(path, {"do": "status"}) == {"ok": True, "asked": {"do": "status"}}
    assert path.stat().st_mode & 0o777 == 0o600
    server.close()


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b"\xff\xfe\n"])
@pytest.mark.asyncio
async def test_serve__when_asked_in_no_json_object__then_it_says_so_and_lives(
    tmp_path: Path, line: bytes
) -> None:
    path = tmp_path / "control.sock"
    server = await serve(path, echo)
    assert b'"ok": false' in await raw(path, line)
    assert (await ask(path, {}))["ok"] is True
    server.close()


@pytest.mark.asyncio
async def test_ask__when_nobody_listens__then_the_command_to_start_is_named(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="is `keeper run` running"):
        await ask(tmp_path / "control.sock", {"do": "status"})


@pytest.mark.asyncio
async def test_ask__when_the_daemon_hangs__then_transient_in_time(tmp_path: Path) -> None:
    async def never(request: dict[str, object]) -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    path = tmp_path / "control.sock"
    server = await serve(path, never)
    with pytest.raises(Transient):
        await ask(path, {"do": "status"}, timeout_s=0.05)
    server.close()


@pytest.mark.asyncio
async def test_serve__when_another_daemon_listens__then_refused_and_the_first_is_still_reached(
    tmp_path: Path,
) -> None:
    path = tmp_path / "control.sock"
    first = await serve(path, echo)
    with pytest.raises(ConfigError, match="another keeper answers here"):
        await serve(path, echo)
    assert (await ask(path, {"do": "disarm"}))["ok"] is True
    first.close()


@pytest.mark.asyncio
async def test_serve__when_a_dead_daemon_left_its_socket__then_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    dead = await serve(path, echo)
    dead.close()
    if not path.exists():
        # newer Pythons remove it on close; a killed process never does
        path.touch()
    server = await serve(path, echo)
    assert (await ask(path, {}))["ok"] is True
    server.close()


@pytest.mark.asyncio
async def test_serve__when_the_path_is_too_long_for_a_socket__then_the_setting_is_named(
    tmp_path: Path,
) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    with pytest.raises(ConfigError, match="state_dir: the control socket"):
        await serve(deep / "control.sock", echo)


@pytest.mark.asyncio
async def test_serve__when_the_handler_fails_with_one_of_our_errors__then_the_answer_says_why(
    tmp_path: Path,
) -> None:
    async def broken(_: dict[str, object]) -> dict[str, object]:
        raise Broken("journal: disk is full")

    path = tmp_path / "control.sock"
    server = await serve(path, broken)
    for _ in range(2):
        assert await ask(path, {"do": "arm"}) == {"ok": False, "why": "journal: disk is full"}
    server.close()

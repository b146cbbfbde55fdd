"""check: a password that does not open the wallet's key is found before money is sent to it, in either mode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.config import Settings
from keeper.config.pairing import HedgeKey
from keeper.inspection import hedge_keys, key
from tests.keystores import PASSWORD, address_of, keystore
from tests.loop_double import settings

pytestmark = pytest.mark.unit
OTHER = bytes.fromhex("11" * 32)


def ours(folder: Path, mode: str, address: str | None = None, signer: str = "in-process") -> Settings:
    sealed, password = keystore(folder)
    made = settings(folder, mode)
    wallet = replace(
        made.wallet,
        address=address or address_of(),
        keystore=sealed,
        password_file=password,
        signer=signer,
    )
    return replace(made, wallet=wallet)


async def said(on: Settings) -> list[tuple[str, str, str]]:
    return [(f.severity.value, f.code, f.why) for f in await key(on)]


@pytest.mark.asyncio
@pytest.mark.parametrize(("mode", "loud"), [("live", "CRITICAL"), ("dry-run", "WARNING")])
async def test_key__when_the_password_is_not_its_own__then_found_and_never_repeated(
    tmp_path: Path, mode: str, loud: str
) -> None:
    on = ours(tmp_path, mode)
    assert await said(on) == []
    assert on.wallet.password_file is not None
    on.wallet.password_file.write_text(f"{PASSWORD}!\n")
    ((severity, code, why),) = await said(on)
    assert (severity, code) == (loud, "key")
    assert "wrong password" in why
    assert PASSWORD not in why


@pytest.mark.asyncio
async def test_key__when_it_is_of_another_address__then_both_are_named(tmp_path: Path) -> None:
    ((_, code, why),) = await said(ours(tmp_path, "dry-run", address_of(OTHER)))
    assert code == "key"
    assert address_of() in why
    assert address_of(OTHER) in why


@pytest.mark.asyncio
async def test_key__when_both_files_are_open_to_others__then_each_is_found_and_nothing_is_opened(
    tmp_path: Path,
) -> None:
    on = ours(tmp_path, "live")
    for path in (on.wallet.keystore, on.wallet.password_file):
        assert path is not None
        path.chmod(0o644)
    assert [w.split(": ")[1][:9] for _, _, w in await said(on)] == ["mode 0644", "mode 0644"]


@pytest.mark.asyncio
async def test_key__when_none_is_named_or_another_process_holds_it__then_nothing_is_asked(
    tmp_path: Path,
) -> None:
    bare = settings(tmp_path, "dry-run")
    nothing = replace(bare.wallet, keystore=None, password_file=None)
    assert await said(replace(bare, wallet=nothing)) == []
    assert await said(ours(tmp_path, "live", address_of(OTHER), f"unix:{tmp_path}/signer.sock")) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("", ""),
        ("missing", "No such file"),
        ("open", "mode 0644"),
        ("password", "wrong password"),
        ("address", "pairs.hedge.key of short is"),
    ],
)
async def test_hedge_key__when_it_is_wrong__then_named_as_the_wallet_s_would_be(
    tmp_path: Path, wrong: str, named: str
) -> None:
    sealed, password = keystore(tmp_path)
    if wrong == "missing":
        sealed.unlink()
    elif wrong == "open":
        sealed.chmod(0o644)
    elif wrong == "password":
        password.write_text("another\n")
    address = address_of(OTHER) if wrong == "address" else address_of()
    mine = HedgeKey(short="short", address=address, keystore=sealed, password_file=password)
    found = await hedge_keys(replace(settings(tmp_path, "live"), hedge_keys=(mine,)))
    assert [(f.severity.value, f.code, f.subject) for f in found] == [
        ("CRITICAL", "hedge_key", "short")
    ] * bool(named)
    assert all(named in f.why for f in found)

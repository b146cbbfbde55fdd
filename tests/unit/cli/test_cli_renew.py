"""What ``keeper renew`` says and how it ends: nothing that keeps an allowance from its renewal is passed over."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import keeper.config
from keeper.cli import kernels, renew, renewing
from keeper.executor import verify
from keeper.executor.renewal import NAME, Renewal
from tests.unit.cli.test_cli_owner_module import NOW_S, OTHER, SECOND, STRANGE, WISH, placed

pytestmark = pytest.mark.unit
LASTS = replace(WISH, until_s=NOW_S + renewing.ENDS_S + 1)
CODE = verify.artifact(NAME).runtime
Run = Callable[..., tuple[int, str, str]]


def of(*terms: Renewal, mute: bool = False, more: bool = False) -> Any:
    """A Safe whose modules renew nothing now; with one of the same code that does not answer, with unread ones."""
    modules: dict[str, Renewal | None] = {t.address.lower(): t for t in terms}
    if mute:
        modules[OTHER.lower()] = None
    return placed(modules, standing=8, code=CODE, **({"next_": STRANGE} if more else {}))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command on such a Safe -> (exit code, stdout, stderr)."""

    async def harmless(*_: object) -> int:
        return 0

    def nothing(*_: object) -> None:
        pass

    def purse(settings: object, keystore: object, *_: object) -> object:
        return SimpleNamespace(key=SimpleNamespace(address=STRANGE)) if keystore else None

    def ran(at: Any, *, key: bool = False, json: bool = False) -> tuple[int, str, str]:
        @asynccontextmanager
        async def here(*_: object) -> AsyncIterator[Any]:
            yield at

        monkeypatch.setattr(renewing, "placed", here)
        code = 0
        try:
            renew.command("vault", Path("renewer.json") if key else None, None, None, Path("x.toml"), json)
        except typer.Exit as end:
            code = end.exit_code
        return code, *capsys.readouterr()

    for name in ("_strange", "_count"):
        monkeypatch.setattr(renewing, name, harmless)
    monkeypatch.setattr(renew, "_purse", purse)
    monkeypatch.setattr(keeper.config, "load", nothing)
    monkeypatch.setattr(kernels, "prepare", nothing)
    return ran


@pytest.mark.parametrize("key", [False, True], ids=["by hand", "by a timer"])
@pytest.mark.parametrize("beside", [(), (LASTS,)], ids=["alone", "beside a proven one"])
def test_renew__when_our_module_does_not_tell_its_terms__then_it_is_named_and_no_success(
    run: Run, beside: tuple[Renewal, ...], key: bool
) -> None:
    code, out, err = run(of(*beside, mute=True), key=key)
    assert code == 1
    assert OTHER in err.lower()
    assert "does not tell its terms" in err
    assert ("disable" in err, "no module" in out) == (False, False)


@pytest.mark.parametrize("key", [False, True], ids=["by hand", "by a timer"])
@pytest.mark.parametrize("beside", [LASTS, replace(LASTS, executor=SECOND)], ids=["ours", "another's"])
def test_renew__when_not_every_module_was_read__then_it_is_said_once_and_a_timer_fails(
    run: Run, beside: Renewal, key: bool
) -> None:
    code, out, err = run(of(beside, more=True), key=key)
    assert code == key
    assert err.count("more than 32 modules") == 1
    assert "no module" not in out


@pytest.mark.parametrize("key", [False, True], ids=["by hand", "by a timer"])
def test_renew__of_a_term_that_ends_in_two_weeks__says_so_with_a_key_or_without(run: Run, key: bool) -> None:
    code, _, err = run(of(replace(LASTS, until_s=LASTS.until_s - 1)), key=key)
    assert (code, err.count("its owners must sign another")) == (0, 1)
    assert run(of(LASTS), key=key)[0::2] == (0, "")


def test_renew__as_json__has_every_problem_that_it_says(run: Run) -> None:
    def told(at: Any) -> list[str]:
        _, out, err = run(at, json=True)
        problems = json.loads(out)["problems"]
        assert err.splitlines() == [f"keeper: {why}" for why in problems]
        return list(problems)

    assert told(of(LASTS)) == []
    mute, unread = told(of(LASTS, mute=True, more=True))
    assert "does not tell its terms" in mute
    assert "more than 32 modules" in unread


def test_renew__of_an_owner_without_modules__says_that_there_is_none(run: Run) -> None:
    assert run(of()) == (
        0,
        "vault: its owner has no module that renews allowances to its Executor\n",
        "",
    )
    assert run(of(), key=True)[0] == 1

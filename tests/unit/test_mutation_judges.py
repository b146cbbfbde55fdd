"""Who judges a changed line of the rooms that can lose money: tests that exist, and for every file some."""

from __future__ import annotations

import signal
import time
from types import SimpleNamespace

import pytest

from tests.chaos import mutants
from tests.chaos.campaign import ROOT
from tests.chaos.coverage_run import TESTS
from tests.chaos.judges import ABOUT, judges_of
from tests.chaos.mutants import files, mutants_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("path", files())
def test_file__in_which_anything_can_be_changed__is_answered_for_by_tests_that_exist(path: str) -> None:
    name = path.removeprefix("keeper/").removesuffix(".py")
    judges = judges_of(name)
    assert judges or not mutants_of(path), f"say in ABOUT which tests answer for {name}"
    assert [t for t in judges if not (ROOT / t).is_file()] == []


def test_maps__name_no_file_that_is_gone_and_no_test_outside_of_what_is_measured() -> None:
    assert set(ABOUT) <= {p.removeprefix("keeper/").removesuffix(".py") for p in files()}
    assert [t for t in TESTS if not (ROOT / t).exists()] == []
    judges = {t for name in ABOUT for t in judges_of(name)}
    assert [t for t in judges if not t.startswith(TESTS)] == []


def test_verdict_of__when_its_tests_sleep_for_ever_and_take_every_alarm__then_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hang(*_: object) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGXCPU, signal.SIGTERM})
        time.sleep(600)

    monkeypatch.setattr(mutants, "_in_child", hang)
    monkeypatch.setattr(mutants, "WALL_S", 0.2)
    anyone = SimpleNamespace(tests=(), limit_s=1)
    assert mutants.verdict_of(anyone) == "timeout"  # type: ignore[arg-type]

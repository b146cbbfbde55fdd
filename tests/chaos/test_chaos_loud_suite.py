"""A part of the suite run as loud as it can be, and what is searched of it: the whole is ``make chaos-secrets``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.figures import record
from tests.chaos import loud_suite
from tests.chaos.loud import sitecustomize as loud
from tests.keystores import CANARY

SIGNER_AND_ALARMS = ("tests/anvil/test_signer_daemon.py", "tests/anvil/test_alarm_sink.py")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder of few letters: the sockets of a run lie below it, and a socket's path is limited."""
    with tempfile.TemporaryDirectory(prefix="kl-") as folder:
        yield Path(folder)


@pytest.mark.anvil
def test_loud_suite__when_a_signer_signs_and_alarms_are_told__then_no_file_holds_a_secret(
    short: Path, anvil_binary: None
) -> None:
    found = loud_suite.run(short, ("-p", "no:cacheprovider", *SIGNER_AND_ALARMS))
    told = (short / "said" / "pytest.log").read_text()
    record(
        "canary_hits",
        len(found.hits),
        bound="= 0",
        holds=not found.hits,
        evidence="real_bytecode",
        n=found.files,
    )
    assert found.hits == ()
    assert found.passed >= 2, told[-3000:]
    assert not found.broken, told[-3000:]
    assert found.processes >= 3, "daemon and signer did not write down what they said"
    assert found.journals >= 2, "no journal and no store was there to be searched"
    assert found.debug > 100, "nothing was at DEBUG"
    kinds = {kind for kind, _ in loud_suite.needles((short / "held").glob("*"))[0]}
    assert {"key in hex", "key in bytes", "password", "query of a URL", *loud_suite.FIXED} <= kinds


@pytest.mark.unit
@pytest.mark.parametrize("form", ["key in hex", "key in bytes", "key as a number", "key in base64"])
def test_search__when_a_file_holds_a_secret_that_passed__then_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    held = _folders(tmp_path)
    monkeypatch.setattr(loud, "HELD", str(held))
    loud.hold_key(CANARY)
    secret = dict(loud_suite.needles(held.glob("*"))[0])[form]
    (tmp_path / "said" / "leak.log").write_bytes(b"before " + secret + b" after")
    assert loud_suite.search(tmp_path).hits == (f"said/leak.log: {form}",)


@pytest.mark.unit
def test_search__when_the_token_of_a_url_was_printed__then_only_what_may_hold_it_is_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = _folders(tmp_path)
    monkeypatch.setattr(loud, "HELD", str(held))
    loud.hold_url("https://rpc.example.org/v3/0123456789abcdef")
    loud.hold("file", str(tmp_path / "left" / "keeper.toml").encode())
    for name in ("left/keeper.toml", "left/journal.sqlite"):
        (tmp_path / name).write_text("rpc.example.org/v3/0123456789abcdef")
    assert loud_suite.search(tmp_path).hits == ("left/journal.sqlite: path of a URL",)


@pytest.mark.unit
def test_search__when_tests_failed__then_they_are_counted_and_nothing_is_said_to_have_passed(
    tmp_path: Path,
) -> None:
    _folders(tmp_path)
    log = tmp_path / "said" / "pytest.log"
    log.write_text("1 passed in a test's own words\n== 2 failed, 7 passed, 1 skipped, 3 errors in 4.5s ==\n")
    assert (loud_suite.search(tmp_path).passed, loud_suite.search(tmp_path).broken) == (7, 5)
    log.write_text("1 passed in a test's own words\nkilled\n")
    assert (loud_suite.search(tmp_path).passed, loud_suite.search(tmp_path).broken) == (0, 0)


def _folders(root: Path) -> Path:
    for name in ("said", "held", "left"):
        (root / name).mkdir()
    (root / "said" / "pytest.log").touch()
    return root / "held"

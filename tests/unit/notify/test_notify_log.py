"""What reaches the log: no key, no token, wherever in a value or in a URL it hides."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings

import pytest
import structlog

from keeper.notify import log

pytestmark = pytest.mark.unit
KEY = "0x" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://tok123.eth.quiknode.pro/abc?x=1", "https://quiknode.pro/…"),
        ("wss://user:pw@tok.example.org:8546/abc", "wss://example.org:8546/…"),
        ("https://rpc.example.org?key=1", "https://example.org/…"),
        ("http://127.0.0.1:8545/x", "http://127.0.0.1:8545/…"),
        ("http://[::1]:8545/x", "http://[::1]:8545/…"),
        ("http://[::1]", "http://[::1]/…"),
        ("http://localhost:8545", "http://localhost:8545/…"),
        ("Cannot connect to host tok.eth.example.org:443 ssl", "Cannot connect to host example.org:443 ssl"),
        ("10.20.30.40:443 and keeper.toml stay", "10.20.30.40:443 and keeper.toml stay"),
        (f"key {KEY}", "key <redacted 32 bytes>"),
        ("cannot reach tgram://123:TOKEN/chat now", "cannot reach tgram://… now"),
        ("mailtos://me:pw@example.org?to=you", "mailtos://…"),
        ("unix:/run/keeper-signer/signer.sock", "unix:/run/keeper-signer/signer.sock"),
    ],
)
def test_redact_text__when_a_secret_may_be_in_it__then_what_is_public_survives(text: str, shown: str) -> None:
    assert log.redact_text(text) == shown


def test_log__when_a_secret_is_nested__then_it_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr("sys.stderr", err)
    try:
        log.configure(json_lines=True)
        url = "https://tok.example.org/tok"
        structlog.get_logger().warning(
            "x", a=[KEY, {"b": (url, 5)}], tried={url: {"hash": KEY}}, why=ValueError(url), hash=KEY
        )
        try:
            raise ValueError(url)
        except ValueError:
            logging.getLogger("library").exception("failed at %s", url)
    finally:
        structlog.reset_defaults()
        logging.basicConfig(force=True)
    line, _, library = err.getvalue().partition("\n")
    told = json.loads(line)
    assert told["a"] == ["<redacted 32 bytes>", {"b": ["https://example.org/…", 5]}]
    assert told["tried"] == {"https://example.org/…": {"hash": KEY}}
    assert told["hash"] == KEY
    assert told["why"] == "ValueError('https://example.org/…')"
    assert "failed at https://example.org/…" in library
    assert "tok" not in line + library


def test_last_words__when_something_ends_a_thread_or_the_process__then_logged_without_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    for owner in (sys, threading):
        monkeypatch.setattr(owner, "excepthook", owner.excepthook)
    try:
        log.configure(json_lines=True)
        log.last_words()
        error = ValueError("https://tok.example.org/tok refused")
        sys.excepthook(ValueError, error, None)
        thread = threading.Thread(target=lambda: (_ for _ in ()).throw(error))
        thread.start()
        thread.join()
        warnings.warn("tgram://tok is deprecated", stacklevel=1)
    finally:
        logging.captureWarnings(False)
        structlog.reset_defaults()
        logging.basicConfig(force=True)
    told = err.getvalue()
    assert told.count("ValueError: https://example.org/") == 2
    assert told.count('"event": "uncaught"') == 2
    assert "tgram://… is deprecated" in told
    assert "tok" not in told.replace("is deprecated", "")


@pytest.mark.parametrize(
    "text",
    [
        '"POST /bot123:SECRETTOKEN/sendMessage HTTP/1.1" 404',
        "Max retries exceeded with url: /hooks/SECRETTOKEN (Caused by NewConnectionError)",
        "'GET /v2/SECRETTOKEN?x=1 HTTP/1.1'",
    ],
    ids=["access", "retries", "quoted"],
)
def test_redact__when_a_request_is_printed_without_its_host__then_its_path_is_cut(text: str) -> None:
    told = log.redact_text(text)
    assert "SECRETTOKEN" not in told
    assert "/…" in told

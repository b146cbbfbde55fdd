"""structlog set up once: JSON in a pipe, colours on a terminal, always on stderr, redacted at the root."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping
from ipaddress import ip_address
from types import TracebackType
from typing import Any

import structlog

_KEY = re.compile(r"(?<![0-9a-fA-F])(?:0x)?[0-9a-fA-F]{64}(?![0-9a-fA-F])")
_URL = re.compile(r"\b(https?|wss?)://([^\s'\"<>]+)")
_OTHER_URL = re.compile(r"\b(?!https?:|wss?:)([A-Za-z][A-Za-z0-9+.-]{1,15})://[^\s'\"<>]+")
"""An alarm target holds its token where a web address has its host."""
_REQUEST = re.compile(
    r"""(\burl: |\bconnection broken by .{0,400}?: |["'](?:GET|POST|PUT|PATCH|DELETE|HEAD) )/[^\s"'<>]+"""
)
"""``"POST /path HTTP/1.1"`` and ``with url: /path``, as HTTP libraries print a request without its host: the token of
a bot or of a webhook stands in it."""
_BARE_HOST = re.compile(r"(?<![\w./@-])((?:[A-Za-z0-9_-]+\.){2,}[A-Za-z][A-Za-z0-9-]*)(?=:\d)")
"""``name.of.host:443``, as connection errors print it."""
_PUBLIC = frozenset({"hash", "tx_hash", "digest", "block_hash", "parent_hash"})
"""Fields that hold a 32-byte hash by definition; everywhere else 32 bytes of hex may be a key."""


def redact_text(text: str) -> str:
    """``text`` without anything that looks like a private key, and URLs cut down to their host.

    RPC tokens live in a URL's path, query, user part and subdomains, so only scheme and the last two labels
    of the host survive; an address or ``localhost`` stays whole. Of any other URL only the scheme survives.
    """
    text = _KEY.sub("<redacted 32 bytes>", text)
    text = _OTHER_URL.sub(lambda m: f"{m[1]}://…", text)
    text = _URL.sub(lambda m: f"{m[1]}://{_host(m[2])}/…", text)
    text = _REQUEST.sub(lambda m: f"{m[1]}/…", text)
    return _BARE_HOST.sub(lambda m: _last_labels(m[1]), text)


def _host(rest: str) -> str:
    """Host and port of a URL without its scheme."""
    place = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rsplit("@", 1)[-1]
    name, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):  # an IPv6 address holds colons of its own
        return _last_labels(place)
    return f"{_last_labels(name)}:{port}"


def _last_labels(name: str) -> str:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return ".".join(name.rstrip(".").split(".")[-2:])
    return name


def _redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        event[name] = _clean(name, value)
    return event


def _clean(name: object, value: Any) -> Any:
    """``value`` with every text in it redacted, however deep."""
    if isinstance(value, str):
        return value if name in _PUBLIC else redact_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redact_text(str(key)): _clean(key, one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(name, one) for one in value]
    # what a renderer would print of it
    return redact_text(repr(value))


def configure(*, json_lines: bool, level: int = logging.INFO) -> None:
    """Set up structlog and the standard library's root logger; both write to stderr."""
    renderer = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_StdlibRedaction())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def last_words() -> None:
    """What ends a thread or the process is logged, redacted; a SIGABRT of the watchdog shows where each one stood."""
    logging.captureWarnings(True)
    log = structlog.get_logger("keeper")

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.error("uncaught", exc_info=(kind, error, trace))

    def in_thread(what: threading.ExceptHookArgs) -> None:
        if what.exc_value is not None:
            uncaught(what.exc_type, what.exc_value, what.exc_traceback)

    sys.excepthook = uncaught
    threading.excepthook = in_thread
    # names of functions and lines, never a value
    with contextlib.suppress(OSError, ValueError):  # a standard error that is no file has no number
        faulthandler.enable(sys.stderr)


class _StdlibRedaction(logging.Filter):
    """Libraries log through the standard library; what they say passes the same redaction."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact_text(record.getMessage())
        record.args = ()
        if record.exc_info:
            record.exc_text = redact_text(logging.Formatter().formatException(record.exc_info))
        return True

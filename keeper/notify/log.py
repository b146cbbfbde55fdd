"""structlog set up once: JSON under systemd or a pipe, colours on a terminal, always on stderr, redacted at the root."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_KEY = re.compile(r"(?<![0-9a-fA-F])(?:0x)?[0-9a-fA-F]{64}(?![0-9a-fA-F])")
_URL = re.compile(r"\b(https?|wss?)://([^\s'\"<>]+)")
_PUBLIC = frozenset({"hash", "tx_hash", "digest", "block_hash", "parent_hash"})
"""Fields that hold a 32-byte hash by definition; everywhere else 32 bytes of hex may be a key."""


def redact_text(text: str) -> str:
    """``text`` without anything that looks like a private key, and URLs cut down to their host.

    RPC tokens live in a URL's path, query and user part, so only scheme and host survive.
    """
    text = _KEY.sub("<redacted 32 bytes>", text)
    return _URL.sub(lambda m: f"{m[1]}://{m[2].split('@')[-1].split('/')[0].split('?')[0]}/…", text)


def _redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str) and name not in _PUBLIC:
            event[name] = redact_text(value)
    return event


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


class _StdlibRedaction(logging.Filter):
    """Libraries log through the standard library; what they say passes the same redaction."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact_text(record.getMessage())
        record.args = ()
        return True

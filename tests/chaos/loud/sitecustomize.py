"""Every Python process of a loud run (see ``loud_suite``): at DEBUG, with a token in the URL of each local node.

What a process prints and logs is written down beside where it goes, and apart from that every secret that it held, in
the folders that LOUD_SAID and LOUD_HELD name. Without them this does nothing.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import functools
import importlib.abc
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TOKEN = "canary0token0of0an0endpoint0that0nobody0prints"
SAID, HELD = os.environ.get("LOUD_SAID", ""), os.environ.get("LOUD_HELD", "")
SHORTEST = 12
"""Characters of a password or of a part of a URL that are worth searching for; shorter ones are words."""


def hold(kind: str, secret: bytes) -> None:
    """Note down what may be seen nowhere, ``kind`` before it."""
    with open(os.path.join(HELD, f"{os.getpid()}.needles"), "a", encoding="ascii") as out:
        out.write(f"{kind}\t{secret.hex()}\n")


def hold_key(secret: bytes) -> None:
    """A private key in each form in which something may print it; a single repeated byte is no key but a filler."""
    if len(set(secret)) == 1:
        return
    hold("key in hex", secret.hex().encode())
    hold("key in bytes", secret)
    hold("key as a number", str(int.from_bytes(secret)).encode())
    hold("key as a Python literal", repr(secret).encode()[2:-1])
    hold("key in base64", base64.b64encode(secret).rstrip(b"="))


def hold_url(url: str | None) -> None:
    """What in a URL may be a token: its user part, its path and its query."""
    if url is None or "://" not in url:
        return
    parts = urlsplit(url)
    for kind, text in (
        ("user", parts.netloc.rpartition("@")[0]),
        ("path", parts.path),
        ("query", parts.query),
    ):
        if len(text) >= SHORTEST:
            hold(f"{kind} of a URL", text.encode())


class Tee:
    """A standard stream whose words are written down as well."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        at = os.path.join(SAID, f"{os.getpid()}.{name}")
        self._copy = open(at, "a", encoding="utf-8", errors="replace")  # noqa: SIM115

    def write(self, text: str) -> int:
        self._copy.write(text)
        self._copy.flush()
        return int(self._stream.write(text))

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _louder(log: Any) -> None:
    """``keeper.notify.log``: whatever level is asked for, it is DEBUG; and the redacted log goes to a file too."""

    class ToFile(logging.FileHandler):
        def handle(self, record: logging.LogRecord) -> Any:
            # redaction changes a record, and other handlers are not to see that
            return super().handle(copy.copy(record))

    real = log.configure

    def loud() -> None:
        root = logging.getLogger()
        handler = ToFile(os.path.join(SAID, f"{os.getpid()}.log"), delay=True)
        handler.addFilter(log._StdlibRedaction())
        handler.setFormatter(logging.Formatter("[%(levelname)s] %(name)s: %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        for compiler in ("numba", "byteflow"):
            # megabytes that know no secret
            logging.getLogger(compiler).setLevel(logging.WARNING)

    @functools.wraps(real)
    def configure(*, json_lines: bool, level: int = logging.INFO) -> None:
        real(json_lines=json_lines, level=logging.DEBUG)
        loud()

    log.configure = configure
    loud()


def _keys(key: Any) -> None:
    """``keeper.signer.key``: a key that is made is held, as is each file that is read as a secret."""
    begin, read = key.Key.__init__, key.read_secret

    def made(self: Any, secret: bytes) -> None:
        hold_key(bytes(secret))
        begin(self, secret)

    @functools.wraps(read)
    def noted(path: Any, *rest: Any) -> bytes:
        found: bytes = read(path, *rest)
        hold("file", os.fsencode(os.path.abspath(path)))
        text = found.strip()
        if SHORTEST <= len(text) < 200:
            hold("password", text)
        return found

    key.Key.__init__, key.read_secret = made, noted


def _sealed(keystore: Any) -> None:
    """``keeper.signer.keystore``: a key that is sealed and its password are held."""
    real = keystore.seal

    @functools.wraps(real)
    def seal(secret: bytes, password: str, **rest: Any) -> Any:
        hold_key(bytes(secret))
        if len(password) >= SHORTEST:
            hold("password", password.encode())
        return real(secret, password, **rest)

    keystore.seal = seal


def _settings(config: Any) -> None:
    """``keeper.config``: the tokens of what is configured are held, and the file that holds them."""
    real = config.parse

    @functools.wraps(real)
    def parse(text: str, path: Any, **rest: Any) -> Any:
        settings = real(text, path, **rest)
        hold("file", os.fsencode(os.path.abspath(path)))
        for chain in settings.chains:
            for endpoint in (*chain.endpoints, *chain.private):
                hold_url(endpoint.url)
                hold_url(endpoint.ws_url)
        for file in _files(settings):
            _hold_file(file)
        return settings

    config.parse = parse


def _files(record: Any) -> Iterator[Path]:
    """Every file that a configuration names for a secret: targets of alarms, tokens, keys, passwords."""
    for each in dataclasses.fields(record):
        value = getattr(record, each.name)
        if isinstance(value, Path) and each.name.endswith("_file"):
            yield value
        for one in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(one):
                yield from _files(one)


def _hold_file(path: Path) -> None:
    hold("file", os.fsencode(os.path.abspath(path)))
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return
    for line in map(str.strip, lines):
        hold_url(line)
        if SHORTEST <= len(line) < 200 and not line.startswith("#"):
            hold("line of a secret file", line.encode())


def _token(node: Any) -> None:
    """``anvil.node``: a local node's URL carries a token, which the node does not look at."""
    node.Anvil.url = property(lambda self: f"http://127.0.0.1:{self._port}/?key={TOKEN}")
    node.Anvil.ws_url = property(lambda self: f"ws://127.0.0.1:{self._port}/?key={TOKEN}")


AFTER: dict[str, Callable[[Any], None]] = {
    "keeper.notify.log": _louder,
    "keeper.signer.key": _keys,
    "keeper.signer.keystore": _sealed,
    "keeper.config": _settings,
    "anvil.node": _token,
}


class Finder(importlib.abc.MetaPathFinder):
    """Lets each of those modules load as it is, and changes it before anybody has it."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in AFTER:
            return None
        change = AFTER.pop(name)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        real = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            real(module)
            change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if SAID and HELD:
    sys.meta_path.insert(0, Finder())
    sys.stdout, sys.stderr = Tee(sys.stdout, "out"), Tee(sys.stderr, "err")

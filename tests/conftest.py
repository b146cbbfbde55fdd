"""Tests of pure code have no network: a connection from one of them is a failure, not a slow pass."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

OFFLINE = ("unit", "property", "vectors", "scenario")


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse every socket that leaves the process, for the markers in OFFLINE (unix sockets are files)."""
    if not any(request.node.get_closest_marker(m) for m in OFFLINE):
        yield
        return

    def guard(name: str) -> None:
        real = getattr(socket.socket, name)

        def refuse(self: socket.socket, *args: object) -> object:
            if self.family == socket.AF_UNIX:
                return real(self, *args)
            raise AssertionError(f"{request.node.nodeid} used a socket: {name}{args[-1:]}")

        monkeypatch.setattr(socket.socket, name, refuse)

    for name in ("connect", "connect_ex", "sendto", "bind"):
        guard(name)
    yield

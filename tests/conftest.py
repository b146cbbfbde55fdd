"""Tests of pure code have no network: a connection from one of them is a failure, not a slow pass.

Compiled kernels and what libraries cache are kept from run to run in the checkout, never in the user's home.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from anvil.tools import ToolMissing, find_anvil
from keeper.risk import cache
from tests.order import longest_first

OFFLINE = ("unit", "property", "vectors", "scenario")
CACHES = Path(__file__).resolve().parents[1] / ".cache" / "tests"


def pytest_configure() -> None:
    """Before any kernel is loaded: without a folder each worker would compile every one of them, every time."""
    os.environ["XDG_CACHE_HOME"] = str(CACHES)
    cache.prepare(CACHES / "keeper")
    # a busy machine is no failure of an example; where CI is set, the examples are the same in every run
    settings.register_profile("keeper", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("keeper")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: it is not looked through for garbage, now or during any test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first (see tests/order.py)."""
    longest_first(items)


@pytest.fixture(scope="session")
def anvil_binary() -> None:
    """Skip with the reason where there is no anvil to start."""
    try:
        find_anvil()
    except ToolMissing as missing:
        pytest.skip(str(missing))


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

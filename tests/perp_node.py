"""A node of its own for tests of perpetuals, whose doubles are larger than a chain takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from anvil.client import Chain
from anvil.deploy_gmx_v2 import CODE_SIZE_MAX
from anvil.node import Anvil, AnvilSettings
from anvil.tools import ToolMissing, find_anvil

GENESIS_S = 1_750_000_000


@contextmanager
def own_node() -> Iterator[Anvil]:
    """Skips where there is no anvil."""
    try:
        find_anvil()
    except ToolMissing as missing:
        pytest.skip(str(missing))
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S, code_size_max=CODE_SIZE_MAX)) as node:
        yield node


@contextmanager
def client(node: Anvil) -> Iterator[Chain]:
    """A client, closed at the end."""
    made = Chain(node.url)
    try:
        yield made
    finally:
        made.close()

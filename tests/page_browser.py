"""A headless Chromium: the one that ``tests/browser`` pins, or one of the machine's, or a reason why not."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser

FOLDER = Path(__file__).parent / "browser"
PINNED = FOLDER / "node_modules" / ".chromium"
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-zygote",
    "--font-render-hinting=none",
]


def executable() -> Path | None:
    """``$KEEPER_CHROMIUM``, the pinned one, then the machine's own."""
    if given := os.environ.get("KEEPER_CHROMIUM"):
        return Path(given)
    if (PINNED / "chromium").is_file():
        return PINNED / "chromium"
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return None if found is None else Path(found)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A running one; skips the test, with the reason, where there is none."""
    api = pytest.importorskip(
        "playwright.async_api", reason="playwright is not installed (make setup installs it)"
    )
    path = executable()
    if path is None:
        pytest.skip("no browser: `make setup` fetches one by npm, or set KEEPER_CHROMIUM to a Chromium")
    # the pinned one brings what a bare machine lacks; behind the machine's own, where that has it
    env = {**os.environ, "FONTCONFIG_PATH": str(PINNED)} if path.parent == PINNED else dict(os.environ)
    if path.parent == PINNED:
        env["LD_LIBRARY_PATH"] = ":".join(
            filter(None, (os.environ.get("LD_LIBRARY_PATH"), str(PINNED / "lib")))
        )
    async with api.async_playwright() as play:
        running = await play.chromium.launch(executable_path=str(path), args=FLAGS, env=env)
        try:
            yield running
        finally:
            await running.close()

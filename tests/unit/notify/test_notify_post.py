"""The way out through other people's code: whatever a target answers or withholds, the others are told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from keeper.notify.courier import Undelivered
from keeper.notify.post import ApprisePost
from keeper.seams import Severity

pytestmark = pytest.mark.unit


class Plugin:
    """One of apprise's, as far as it is called."""

    def __init__(self, does: Callable[[], object]) -> None:
        self.does = does
        self.told: list[str] = []

    def notify(self, *, body: str, title: str, notify_type: str) -> object:
        self.told.append(f"{notify_type}: {title}: {body}")
        return self.does()


def breaks() -> object:
    raise AttributeError("'list' object has no attribute 'get' in https://host/secret")


@pytest.mark.asyncio
async def test_send__when_it_is_taken__then_it_was_told_as_severe_as_it_is() -> None:
    plugin = Plugin(lambda: True)
    await ApprisePost(plugin).send("keeper", "urgent", Severity.CRITICAL)
    assert plugin.told == ["failure: keeper: urgent"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("does", "why"), [(lambda: False, "refused"), (lambda: None, "refused"), (breaks, "^AttributeError$")]
)
async def test_send__when_it_is_refused_or_breaks__then_undelivered_without_a_word_of_the_url(
    does: Callable[[], object], why: str
) -> None:
    with pytest.raises(Undelivered, match=why):
        await ApprisePost(Plugin(does)).send("keeper", "urgent", Severity.CRITICAL)


@pytest.mark.asyncio
async def test_send__when_one_target_hangs__then_the_others_have_threads_of_their_own_and_it_is_told_once() -> (
    None
):
    free = threading.Event()
    slow, good = Plugin(free.wait), Plugin(lambda: True)
    hanging, well = ApprisePost(slow, wait_s=0.02), ApprisePost(good, wait_s=60.0)
    try:
        for n in range(6):
            with pytest.raises(Undelivered, match="no answer"):
                await hanging.send("keeper", f"try {n}", Severity.CRITICAL)
            await well.send("keeper", f"try {n}", Severity.CRITICAL)
    finally:
        free.set()
    await asyncio.get_running_loop().run_in_executor(hanging._thread, lambda: None)
    assert len(good.told) == 6
    assert slow.told == ["failure: keeper: try 0"], "what waited behind it was given up, not sent late"

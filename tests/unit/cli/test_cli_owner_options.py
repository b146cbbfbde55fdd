"""What the options of ``keeper grant`` for an owner say."""

from __future__ import annotations

import pytest
import typer

from keeper.cli import owner_options
from keeper.cli.owner_grant import Asked

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("percent", "bps"), [(1.0, 100), (3.0, 300), (0.01, 1), (2.5, 250)])
def test_slippage__when_within_what_an_executor_takes__then_asked_for_as_given(
    percent: float, bps: int
) -> None:
    roles = owner_options.read(100.0, [], "", "", percent)
    assert Asked(label="vault", **roles).slippage_bps == bps


@pytest.mark.parametrize("percent", [0.0, -1.0, 3.01, float("nan"), float("inf")])
def test_slippage__when_no_executor_takes_it__then_refused_with_the_most(percent: float) -> None:
    with pytest.raises(typer.BadParameter, match=r"between 0\.01 and 3 percent"):
        owner_options.read(100.0, [], "", "", percent)

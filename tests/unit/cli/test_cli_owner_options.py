"""What the options of ``keeper grant`` for an owner say."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from keeper.cli import invoke, owner_options
from keeper.cli.owner_grant import Asked
from tests.unit.test_pages_named import GOOD

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


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (("--period", "2"), "'--period': goes with --module"),
        (("--module", "--until", "2027-03-01"), "'--module': goes with --executor LABEL"),
        (("--module", "--executor", "vault", "--amount", "WETH=1"), "'--module': needs --until"),
        (
            ("--module", "--executor", "vault", "--until", "2027-03-01", "--deploy"),
            "'--module': goes with --amount, --reserve, --period and --until alone",
        ),
        (
            ("--module", "--executor", "vault", "--until", "2027-03-01", "--send"),
            "'--module': goes with --amount, --reserve, --period and --until alone",
        ),
        (("--module", "--executor", "vault", "--until", "2027-03-01"), "'--amount': is required"),
        (
            ("--module", "--executor", "vault", "--until", "2027-03-01", "--amount", "WETH=inf"),
            "is not TOKEN=NUMBER",
        ),
        (
            ("--module", "--executor", "vault", "--until", "2027-03-01", "--period", "nan"),
            "'--period': nan is no number of hours",
        ),
        (
            ("--module", "--executor", "vault", "--until", "2027-03-01", "--period", "-1"),
            "'--period': -1 is no number of hours",
        ),
    ],
)
def test_module__when_asked_with_what_does_not_belong__then_refused_by_its_option(
    line: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["grant", *line]) == 2
    assert why in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (("revoke", "--module"), "'--module': goes with --executor LABEL"),
        (("renew", "--executor", "vault", "--password-file", "p"), "'--password-file': goes with --keystore"),
    ],
)
def test_module__when_taken_back_or_renewed_with_half_a_line__then_refused(
    line: tuple[str, ...], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "keeper.toml"
    config.write_text(GOOD)
    assert invoke([*line, "--config", str(config)]) == 2
    assert why in " ".join(capsys.readouterr().err.split())

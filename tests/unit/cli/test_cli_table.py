"""Tables on a terminal of any width: no number is cut, and no word; and what a list of problems is headed by."""

from __future__ import annotations

import io
import re

import pytest

from keeper.cli import replaying, table
from keeper.cli.endings import exit_code_of
from keeper.errors import ConfigError

pytestmark = pytest.mark.unit
STYLED = re.compile(r"\x1b\[[0-9;]*m")
NUMBERS = ("12", "1,047,123.45", "1,234", "98,765,432", "17,345,678", "321", "0.9871", "116,158,233")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(
    monkeypatch: pytest.MonkeyPatch, columns: int, headers: tuple[str, ...], row: tuple[str, ...]
) -> str:
    out = Terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", out)
    table.show(headers, [row])
    return STYLED.sub("", out.getvalue())


@pytest.mark.parametrize("columns", [200, 120, 80, 40])
def test_show__when_the_terminal_is_narrow__then_every_number_is_whole(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    said = shown(monkeypatch, columns, replaying.HEADERS, ("cdp_keeper", *NUMBERS))
    assert "…" not in said
    assert set(NUMBERS) <= set(said.split())


def test_show__when_words_give_way__then_lines_keep_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    why = (
        "the pool takes more ether than the plan allows, which is why nothing at all was sent at that moment"
    )
    said = shown(monkeypatch, 80, ("asset", "USD", "why"), ("WETH", "1,047,123.45", why))
    assert max(map(len, said.splitlines())) <= 80
    assert "1,047,123.45" in said
    assert set(why.split()) <= set(said.split())


@pytest.mark.parametrize(
    ("problems", "head"),
    [
        (("a/eth.csv: row 2, column ts: x", "a/eth.csv: row 3, column low: y"), "2 problems in a/eth.csv:"),
        (("a.csv: row 2: x", "b.csv: row 2: y"), "2 problems in the configuration:"),
        (("chains[0]: x", "chains[0]: y"), "2 problems in the configuration:"),
    ],
)
def test_exit_code__when_every_problem_is_of_one_file__then_the_head_names_it(
    capsys: pytest.CaptureFixture[str], problems: tuple[str, ...], head: str
) -> None:
    assert exit_code_of(ConfigError(problems)) == 78
    assert capsys.readouterr().err.splitlines()[0] == f"keeper: {head}"

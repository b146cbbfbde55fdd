"""``[page]``: on this machine alone unless somebody says by which names it may be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import parse
from keeper.config.telling import PageSettings
from keeper.errors import ConfigError
from tests.unit.cli.test_cli_commands import GOOD

pytestmark = pytest.mark.unit
PATH = Path("/etc/keeper/keeper.toml")


def test_page__when_written__then_where_by_which_names_and_the_digest_is_the_same() -> None:
    plain = parse(GOOD, PATH)
    text = '[page]\nlisten = "0.0.0.0:8467"\nhosts = ["keeper.example"]\ntoken_file = "credential:page"\n'
    full = parse(GOOD + text, PATH, credentials_dir=Path("/run/c"))
    assert plain.page == PageSettings()
    assert full.page == PageSettings(
        host="0.0.0.0", port=8467, hosts=("keeper.example",), token_file=Path("/run/c/page")
    )
    assert full.digest == plain.digest


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('listen = "0.0.0.0:8467"', "page.listen"),
        ('listen = "192.168.1.5:8467"', "page.listen"),
        ('listen = "8467"', "page.listen"),
        ('listen = "127.0.0.1:0"', "page.listen"),
        ('listen = "127.0.0.1:1"\nhosts = ["keeper.example:8467"]', "page.hosts"),
        ('listen = "127.0.0.1:1"\nhosts = ["*"]', "page.hosts"),
        ('listen = "127.0.0.1:1"\nhosts = ["https://keeper.example"]', "page.hosts"),
        ('listn = "127.0.0.1:1"', "page.listn: unknown key; did you mean"),
    ],
)
def test_page__when_it_would_be_open_or_is_unclear__then_refused_by_name(lines: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f"{GOOD}[page]\n{lines}\n", PATH)
    assert any(problem in p for p in refused.value.problems), refused.value.problems


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_page__when_it_is_on_this_machine__then_it_needs_no_names(host: str) -> None:
    assert parse(f'{GOOD}[page]\nlisten = "{host}:8467"\n', PATH).page.host == host.strip("[]")

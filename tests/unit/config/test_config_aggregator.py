"""``[chains.aggregator]``: what it takes, what it refuses, and that its key and URL are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import parse
from keeper.errors import ConfigError
from tests.unit.cli.test_cli_commands import GOOD

pytestmark = pytest.mark.unit
ROUTER = "0x0000000000001fF3684f28c67538d4D072C22734"


def config(table: str) -> str:
    """The good configuration with an aggregator."""
    return GOOD.replace("[[venues]]", f"[chains.aggregator]\n{table}\n[[venues]]", 1)


def test_aggregator__when_named__then_its_url_is_the_public_one_and_its_key_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    text = config(f'name = "0x"\nrouter = "{ROUTER}"\nkey_file = "key"')
    found = parse(text, tmp_path / "keeper.toml").chains[0].aggregator
    assert found is not None
    assert (found.name, found.router, found.key_file) == ("0x", ROUTER, tmp_path / "key")
    assert found.url.startswith("https://")
    assert found.url not in repr(found)
    assert parse(GOOD, tmp_path / "keeper.toml").chains[0].aggregator is None


@pytest.mark.parametrize(
    "table, said",
    [
        (f'name = "odd"\nrouter = "{ROUTER}"', "aggregator.name"),
        ('name = "0x"', "aggregator.router"),
        (f'name = "0x"\nrouter = "{ROUTER.lower()}"', "aggregator.router"),
        (f'name = "0x"\nrouter = "{ROUTER}"\nkey = "secret-in-the-file"', "aggregator.key"),
        (f'name = "0x"\nrouter = "{ROUTER}"\nkey_file = "nowhere"', "aggregator.key_file"),
        (f'name = "0x"\nrouter = "{ROUTER}"\nurl = "ftp://x"', "aggregator.url"),
    ],
)
def test_aggregator__when_wrong__then_the_field_is_named_and_no_secret_told(
    tmp_path: Path, table: str, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(config(table), tmp_path / "keeper.toml")
    assert said in str(raised.value)
    assert "secret-in-the-file" not in str(raised.value)

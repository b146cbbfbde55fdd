"""keeper.toml: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import load, parse
from keeper.config.schema import KINDS, STRATEGIES
from keeper.errors import ConfigError

pytestmark = pytest.mark.unit

PROVIDER = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
ACCOUNT = "0xcA11bde05977b3631167028862bE2a173976CA11"
KEY = "0x" + "a1" * 32
GOOD = f"""\
schema = 1
state_dir = "state"

[[chains]]
name = "mainnet"
chain_id = 1
[[chains.endpoints]]
url = "https://first.example/token"

[[venues]]
name = "aave"
kind = "aave_v3"
chain = "mainnet"
provider = "{PROVIDER}"

[[positions]]
label = "vault"
venue = "aave"
account = "{ACCOUNT}"

[policies.default]
warn = 1.5
trigger = "1.25"
target = 1.4
emergency = 1.1
"""
WALLET = f"""
[wallet]
address = "{ACCOUNT}"
keystore = "credential:keystore"
password_file = "credential:password"
"""


def problems(text: str, path: Path = Path("/nowhere/keeper.toml")) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, path)
    return caught.value.problems


def test_parse__when_only_the_needed_is_given__then_defaults_fill_the_rest() -> None:
    settings = parse(GOOD, Path("/etc/keeper/keeper.toml"))
    assert settings.mode == "dry-run"
    assert settings.state_dir == Path("/etc/keeper/state")
    chain = settings.chains[0]
    assert (chain.block_time_s, chain.native_token) == (12.0, "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")
    assert chain.endpoints[0].url == "https://first.example/token"
    assert "first.example" not in repr(settings)
    assert settings.positions[0].policy == "default"
    policy = settings.policy("default")
    assert (policy.trigger_wad, policy.target_wad) == (1_250_000_000_000_000_000, 1_400_000_000_000_000_000)
    assert policy.max_health_wad == 1_500_000_000_000_000_000
    assert policy.strategies == ("repay", "add_collateral")


def test_parse__when_a_health_is_a_float__then_it_is_what_was_written() -> None:
    settings = parse(GOOD.replace("target = 1.4", "target = 1.3000000000000001"), Path("/k.toml"))
    assert settings.policy("default").target_wad == 1_300_000_000_000_000_100


def test_parse__when_no_policy_is_written__then_the_builtin_default_guards() -> None:
    settings = parse(GOOD[: GOOD.index("[policies")], Path("/k.toml"))
    assert settings.policy("default").emergency_wad == 1_100_000_000_000_000_000


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("schema = 1", "", "schema: is required; write schema = 1 as the first line"),
        ("schema = 1", "schema = 2", "schema: 2 should be 1"),
        ("schema = 1", 'schema = 1\nmode = "liv"', """mode: "liv" should be 'dry-run' or 'live'"""),
        ("state_dir", "stat_dir", 'stat_dir: unknown key; did you mean "state_dir"?'),
        ("chain_id = 1", 'chain_id = "1"', 'chains[0].chain_id: "1" must be a whole number'),
        ("chain_id = 1", "chain_id = true", "chains[0].chain_id: true must be a whole number"),
        ("chain_id = 1", "", "chains[0].chain_id: is required"),
        (
            ACCOUNT,
            ACCOUNT.lower(),
            f'positions[0].account: "{ACCOUNT.lower()}" is not a valid EIP-55 checksum address; '
            f"did you mean {ACCOUNT}?",
        ),
        (
            PROVIDER,
            "0x12",
            'venues[0].provider: "0x12" is not an address: write 0x and 40 hex digits',
        ),
        ('venue = "aave"', 'venue = "aav"', 'positions[0].venue: "aav" is not known; did you mean "aave"?'),
        (
            'chain = "mainnet"',
            'chain = "main"',
            'venues[0].chain: "main" is not known; did you mean "mainnet"?',
        ),
        (
            'kind = "aave_v3"',
            'kind = "aave_v4"',
            'venues[0].kind: "aave_v4" is not known; did you mean "aave_v3"?',
        ),
        (
            'label = "vault"',
            'policy = "x"',
            'positions[0].policy: "x" is not known; known: default',
        ),
        ("warn = 1.5", "warn = 1.25", "policies.default.warn: 1.25 must be above trigger (1.25)"),
        (
            'trigger = "1.25"',
            'trigger = "0.95"',
            'policies.default.trigger: "0.95" must be above 1: at a health factor of 1 the position can be '
            "liquidated",
        ),
        (
            "target = 1.4",
            "target = 1.2",
            "policies.default.target: 1.2 must be at least trigger + hysteresis (1.25 + 0.02 = 1.27)",
        ),
        (
            "emergency = 1.1",
            "emergency = 1.25",
            "policies.default.trigger: 1.25 must be above emergency (1.25)",
        ),
        (
            "emergency = 1.1",
            "emergency = 1.1\nmax_health = 1.41",
            "policies.default.max_health: 1.41 must be at least target + 0.02 (1.42)",
        ),
        (
            "emergency = 1.1",
            "emergency = nan",
            "policies.default.emergency: NaN is not a finite number",
        ),
        (
            "emergency = 1.1",
            "emergency = 1.1\n[policies.default.caps]\nper_action_usd = 9\nper_day_usd = 8",
            "policies.default.caps.per_action_usd: 9 must not exceed per_day_usd (8)",
        ),
        (
            "emergency = 1.1",
            'emergency = 1.1\nstrategies = ["repay", "reapy"]',
            'policies.default.strategies[1]: "reapy" is not known; did you mean "repay"? '
            "(a third party's is written module:Class)",
        ),
        (
            "emergency = 1.1",
            "emergency = 1.1\n[shocks]\nladder_pct = [-100]",
            "shocks.ladder_pct[0]: -100 must be a move in per cent above -100, not 0: -30 is a fall of 30 %",
        ),
        ("[[chains]]", "[chains]", "chains: a table must be a list of tables; write [[chains]]"),
        (
            'url = "https://first.example/token"',
            'name = "x"',
            "chains[0].endpoints[0].url: is required; give url, or url_file when it holds a token",
        ),
        (
            "https://first",
            "ftp://first",
            "chains[0].endpoints[0].url: is not a URL beginning with http:// or https://",
        ),
    ],
)
def test_parse__when_one_thing_is_wrong__then_one_line_names_field_value_and_remedy(
    old: str, new: str, line: str
) -> None:
    assert old in GOOD
    assert line in problems(GOOD.replace(old, new, 1))


def test_parse__when_much_is_wrong__then_every_problem_is_told_at_once() -> None:
    text = GOOD.replace("chain_id = 1", "chain_id = 0").replace("https://first", "http//first")
    text = text.replace('venue = "aave"', 'venue = "x"').replace(
        ACCOUNT, ACCOUNT.upper().replace("X", "x", 1)
    )
    text = text.replace("warn = 1.5", 'warn = "high"').replace("target = 1.4", "target = 1.2")
    fields = [line.split(":")[0] for line in problems(text)]
    assert fields == [
        "chains[0].chain_id",
        "positions[0].account",
        "policies.default.warn",
        "positions[0].venue",
        "policies.default.target",
        "chains[0].endpoints[0].url",
    ]


def test_parse__when_names_repeat__then_both_places_are_named() -> None:
    chains, rest = GOOD.split("[[venues]]")
    head, chain = chains.split("[[chains]]")
    venue_and_position = "[[venues]]" + rest.split("[policies")[0]
    text = f"{head}[[chains]]{chain}[[chains]]{chain}{venue_and_position}{venue_and_position}"
    found = "\n".join(problems(text))
    for field in ("chains[1].name", "chains[1].chain_id", "venues[1].name", "venues[1].provider"):
        assert f"{field}: " in found
    assert 'positions[1].label: "vault" is already used by positions[0]; list it once' in found
    assert f'positions[1].account: "{ACCOUNT}" is already used by positions[0]; list it once' in found


def test_parse__when_endpoint_names_repeat_within_a_chain__then_it_is_refused() -> None:
    endpoint = 'name = "a"\nurl = "https://x.example"\n'
    text = GOOD.replace(
        'url = "https://first.example/token"\n', f"{endpoint}[[chains.endpoints]]\n{endpoint}"
    )
    assert problems(text) == (
        'chains[0].endpoints[1].name: "a" is already used by chains[0].endpoints[0]; list it once',
    )


@pytest.mark.parametrize(
    "place",
    [
        f'\n[wallet]\nkeystore = "{KEY}"\n',
        f'\n[wallet]\nprivate_key = "{KEY[2:]}"\n',
        f"\n[wallet]\nprivate_key = {KEY}\n",
        f'\n["{KEY}"]\n',
        f"\n# {KEY}\n",
        f'\n[wallet]\nkeystore = "my {KEY} file"\n',
        '\n[wallet]\nkeystore = "' + "abandon " * 11 + 'about"\n',
        f'\nkey = "{KEY}\n',
        f'\n[wallet]\nmode = "{"b" * 70}"\n',
    ],
)
def test_parse__when_a_raw_key_stands_anywhere__then_it_is_refused_and_never_echoed(place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(GOOD + place, Path("/k.toml"))
    said = str(caught.value)
    number = str(int(KEY, 16))
    assert KEY[2:] not in said
    assert number not in said
    assert "abandon" not in said
    assert "b" * 64 not in said
    if not place.startswith("\nkey ="):
        assert "raw private key" in said


def test_parse__when_an_unknown_key_holds_a_secret__then_its_value_is_not_shown() -> None:
    said = "\n".join(problems(GOOD + '\n[wallet]\npassword = "hunter2"\n'))
    assert 'wallet.password: unknown key; did you mean "password_file"?' in said
    assert "hunter2" not in said


def test_parse__when_an_endpoint_is_wrong__then_its_token_is_not_shown() -> None:
    text = GOOD.replace("https://first.example/token", "https://user:sesame@first.example:x/sesame")
    assert "sesame" not in "\n".join(problems(text))


def test_parse__when_live__then_address_keystore_and_password_are_required() -> None:
    live = GOOD.replace("schema = 1", 'schema = 1\nmode = "live"')
    assert problems(live) == tuple(
        f'wallet.{field}: is required when mode is "live"'
        for field in ("address", "keystore", "password_file")
    )
    assert parse(live + WALLET, Path("/k.toml")).mode == "live"


def test_parse__when_live_and_the_keystore_is_missing__then_its_path_is_named(tmp_path: Path) -> None:
    live = GOOD.replace("schema = 1", 'schema = 1\nmode = "live"')
    text = live + WALLET.replace("credential:keystore", "absent.json")
    found = problems(text, tmp_path / "keeper.toml")
    assert found == (
        'wallet.keystore: "absent.json": No such file or directory; name the file that holds the secret',
    )


def test_credential__when_the_unit_gives_a_folder__then_it_is_looked_up_there() -> None:
    wallet = parse(GOOD + WALLET, Path("/k.toml"), credentials_dir=Path("/run/c")).wallet
    assert (wallet.keystore, wallet.password_file) == (Path("/run/c/keystore"), Path("/run/c/password"))


def test_credential__when_its_name_climbs__then_it_is_refused() -> None:
    found = problems(GOOD + WALLET.replace("credential:keystore", "credential:../x"))
    assert found == (
        'wallet.keystore: "credential:../x" must be credential:NAME, the name of a LoadCredential=',
    )


def test_url_file__when_given__then_the_url_is_read_from_it(tmp_path: Path) -> None:
    (tmp_path / "endpoint.url").write_text("https://x.example/secret\n")
    text = GOOD.replace('url = "https://first.example/token"', 'url_file = "endpoint.url"')
    assert parse(text, tmp_path / "k.toml").chains[0].endpoints[0].url == "https://x.example/secret"
    (tmp_path / "endpoint.url").unlink()
    assert problems(text, tmp_path / "k.toml") == (
        'chains[0].endpoints[0].url_file: "endpoint.url": No such file or directory; '
        "it must be a readable file holding one URL",
    )


def test_digest__when_protection_changes__then_it_changes_and_else_not() -> None:
    digest = parse(GOOD, Path("/k.toml")).digest

    def other(old: str, new: str) -> str:
        return parse(GOOD.replace(old, new), Path("/elsewhere/k.toml")).digest

    assert other("https://first.example/token", "https://second.example") == digest
    assert other('label = "vault"', 'label = "another"') == digest
    assert other('"mainnet"', '"ethereum"') == digest
    assert other("target = 1.4", "target = 1.41") != digest
    assert other(ACCOUNT, PROVIDER) != digest
    assert other("emergency = 1.1", "emergency = 1.1\n[policies.default.caps]\nper_day_usd = 30000") != digest
    assert parse(GOOD + WALLET, Path("/k.toml")).digest != digest


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file; write one with `keeper init --out"),
        (b"schema = 1\nmode = live\n", "not valid TOML: Invalid value (at line 2, column 8)"),
        (b"\xff\xfe", "not UTF-8 text"),
    ],
)
def test_load__when_the_file_cannot_be_read__then_it_is_named(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "keeper.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"{path}: {said}")


def test_load__when_the_path_is_a_folder__then_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_known_names__when_the_registries_change__then_the_configuration_knows() -> None:
    from keeper.venues import registry
    from strategies.registry import SHIPPED

    folders = {p.parent.name for p in Path(registry.__file__).parent.glob("*/__init__.py")}
    assert set(KINDS) == folders
    assert all(registry.part(name) is not None for name in folders)
    assert set(STRATEGIES) == {s.name for s in SHIPPED}


@pytest.mark.parametrize(
    ("line", "bad", "words"),
    [
        ("trigger = ", "trigger = 125", "not per cent"),
        ("chain_id = 1", "chain_id = 1\nblock_time_s = 1e400", "at most 3600"),
        ("chain_id = 1", "chain_id = 1\nblock_time_s = 86400", "at most 3600"),
        ("warn = 1.5", "warn = 1.5\nhorizon_days = 99999", "at most 3650"),
        ("warn = 1.5", "warn = 1.5\nidle_rate = 11", "at most 10"),
        ('url = "https://first', 'rate_per_s = 1e9\nurl = "https://first', "at most 1000000"),
    ],
)
def test_parse__when_a_number_is_beyond_reason__then_refused(line: str, bad: str, words: str) -> None:
    text = GOOD.replace('trigger = "1.25"', bad) if line == "trigger = " else GOOD.replace(line, bad)
    assert text != GOOD
    assert any(words in p for p in problems(text)), problems(text)


def test_parse__when_a_path_holds_a_null_byte__then_refused_in_words() -> None:
    live = 'mode = "live"\n' + GOOD + WALLET.replace("credential:keystore", "\\u0000")
    assert any("is no path" in p for p in problems(live))


def test_parse__when_a_name_is_a_key__then_no_suggestion_repeats_it() -> None:
    text = GOOD.replace('name = "aave"', f'name = "{KEY}"')
    assert KEY[2:] not in "\n".join(problems(text))

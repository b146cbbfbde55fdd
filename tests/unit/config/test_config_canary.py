"""``[canary]``: one small guarded loan, bounded in money, heard by somebody; arming is bound to what it may spend."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.config import parse
from keeper.config.canary import CanarySettings, CanaryTable, canary_digest
from keeper.config.changes import changes
from keeper.daemon.safe import simplified
from keeper.errors import ConfigError
from tests.unit.cli.test_cli_commands import GOOD

pytestmark = pytest.mark.unit
PATH = Path("/etc/keeper/keeper.toml")
HEARD = GOOD + '[alarms]\ntargets_file = "targets"\n'
CANARY = '[canary]\nposition = "vault"\n'


def test_canary__when_written__then_dollars_health_and_seconds_and_only_on_request_by_default() -> None:
    assert parse(HEARD, PATH).canary is None
    assert parse(HEARD + CANARY, PATH).canary == CanarySettings(
        position="vault",
        every_s=None,
        gain_wad=2 * 10**16,
        value_usd_max=1_000,
        spend_usd_max=25,
        gas_usd_max=10,
        within_blocks=None,
    )
    weekly = parse(HEARD + CANARY + "every_hours = 168", PATH)
    assert weekly.canary is not None
    assert weekly.canary.every_s == 7 * 86_400.0
    assert simplified(weekly).canary is None


def test_canary__when_what_it_may_spend_changes__then_it_disarms_and_needs_a_restart() -> None:
    none, one = parse(HEARD, PATH), parse(HEARD + CANARY, PATH)
    often = parse(HEARD + CANARY + "every_hours = 24", PATH)
    dearer = parse(HEARD + CANARY + "spend_usd_max = 30", PATH)
    assert len({none.digest, one.digest, dearer.digest}) == 3
    assert often.digest == one.digest
    assert changes(one, dearer).restart == ("canary",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            HEARD + '[canary]\nposition = "vautl"',
            'canary.position: "vautl" is no label of a position; did you',
        ),
        (HEARD + "[canary]", "canary.position: is required"),
        (HEARD + CANARY + 'gain = "0.6"', 'canary.gain: "0.6" must be 0.01 to 0.5'),
        (HEARD + CANARY + 'gain = "0.0200000000000000001"', "canary.gain: "),
        (HEARD.replace('"aave_v3"', '["aave_v3"]') + CANARY, "venues[0].kind: "),
        (HEARD + CANARY + "value_usd_max = 10001", "canary.value_usd_max"),
        (HEARD + CANARY + "every_hours = 0", "canary.every_hours"),
        (HEARD + CANARY + "evry_hours = 1", "canary.evry_hours: unknown key; did you mean"),
        (GOOD + CANARY, "canary: nobody would hear it"),
        (HEARD + CANARY + "[standby]\nblocks = 3", "canary: [standby] leaves every position"),
    ],
)
def test_canary__when_it_is_wrong__then_refused_by_name(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, PATH)
    assert any(p.startswith(problem) for p in refused.value.problems), refused.value.problems


def test_digest__when_the_canary_is_the_same_accounts_loan_elsewhere__then_another() -> None:
    table = CanaryTable(position="small")
    here, there = (canary_digest(table, [("small", f"{venue} 0xabc")]) for venue in ("aave", "spark"))
    assert here != there

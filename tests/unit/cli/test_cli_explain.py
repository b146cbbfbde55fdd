"""explain: only the position's own chain vouches for it, and what stands or is old is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.cli import invoke
from keeper.cli.explain import _key
from keeper.clock import ManualClock
from keeper.config import VenueSettings, load
from keeper.journal.write import Journal
from keeper.model import Entry
from tests.unit.cli.test_cli_commands import ADDRESS, GOOD

pytestmark = pytest.mark.unit
NOW_S = 1_800_000_000.0
PROVIDER = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
ID = f"aave_v3:1:{ADDRESS}:{PROVIDER}"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "keeper.toml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def journal(config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.setattr("keeper.clock.SystemClock.now_s", lambda _: NOW_S)
    path = load(config).journal_path
    path.parent.mkdir(parents=True)
    with Journal.open(path, Then(NOW_S - 3600)) as journal:
        yield journal


class Then(ManualClock):
    """A wall clock that stands still."""

    def __init__(self, wall_s: float) -> None:
        super().__init__(0.0)
        self.wall_s = wall_s

    def now_s(self) -> float:
        return self.wall_s


def tick(chain_id: int, number: int) -> Entry:
    return Entry(
        kind="tick", chain_id=chain_id, block_number=number, subject="", why="1 positions, worst SAFE"
    )


def alarm(severity: str, code: str, subject: str, *, chain_id: int = 1) -> Entry:
    data = {"severity": severity, "code": code}
    return Entry(
        kind="alarm", chain_id=chain_id, block_number=0, subject=subject, why=f"why {code}", data=data
    )


def test_explain__when_only_another_chain_was_seen__then_never_seen_and_1(
    config: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.record(tick(10, 777))
    assert invoke(["explain", "vault", "-c", str(config)]) == 1
    shown = capsys.readouterr()
    assert "never seen yet; start `keeper run`" in shown.out
    assert "777" not in shown.out + shown.err
    assert "nothing had to be decided" not in shown.err


def test_explain__when_the_journal_is_empty__then_never_seen_and_no_usage_error(
    config: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["explain", "vault", "-c", str(config), "--json"]) == 1
    body = json.loads(capsys.readouterr().out)
    assert (body["entries"], body["standing"], body["last_tick"]) == ([], [], None)


def test_explain__when_the_chain_is_blind__then_it_stands_with_the_age_of_the_last_block(
    config: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.record_all(
        [
            alarm("CRITICAL", "unknown", "m"),
            Entry(kind="start", chain_id=0, block_number=0, subject="", why="live start"),
            tick(1, 41),
            tick(10, 777),
            alarm("CRITICAL", "blind", "m"),
            alarm("CRITICAL", "unknown", ID),
            alarm("CRITICAL", "quorum_lost", "m"),
            alarm("CLEARED", "quorum_lost", "m"),
            alarm("CRITICAL", "blind", "other", chain_id=10),
        ]
    )
    assert invoke(["explain", "vault", "-c", str(config)]) == 0
    out = capsys.readouterr().out
    assert [x for x in out.splitlines() if x.startswith("standing")] == [
        "standing CRITICAL blind: why blind",
        "standing CRITICAL unknown: why unknown",
    ]
    assert "last block seen: 41, 60 min ago" in out
    assert "777" not in out


def test_explain__when_a_plan_is_not_there__then_it_is_a_wrong_argument(
    config: Path, journal: Journal
) -> None:
    assert invoke(["explain", "vault#7", "-c", str(config)]) == 2
    assert invoke(["explain", "stranger", "-c", str(config)]) == 2


def test_explain__when_the_same_is_said_block_after_block__then_one_line_tells_from_where_to_where(
    config: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    def decision(number: int, why: str) -> Entry:
        return Entry(kind="decision", chain_id=1, block_number=number, subject=ID, why=why)

    said = [(7, "empty"), (8, "empty"), (9, "empty"), (10, "repay"), (11, "empty")]
    journal.record_all([tick(1, 11), *(decision(*x) for x in said)])
    assert invoke(["explain", "vault", "-c", str(config)]) == 0
    told = [x.split("  ", 1)[1] for x in capsys.readouterr().out.splitlines() if "decision" in x]
    assert told == [
        "block 7 to 9  decision: empty (3 times)",
        "block 10  decision: repay",
        "block 11  decision: empty",
    ]
    assert invoke(["explain", "vault", "-c", str(config), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["entries"]) == 5


def test_explain__when_ways_were_weighed__then_cost_by_part_doing_nothing_and_each_alternative(
    config: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = {"strategy": "deleverage", "gas_usd": 6.0, "swap_usd": 6.3, "flash_usd": 0.5, "idle_usd": 0.0}
    data = {
        "chosen": [{**chosen, "cost_usd": 12.3}],
        "rejected": [
            {"strategy": "repay", "code": "dearer", "why": "would cost $13.00", "cost_usd": 13.0},
            {
                "strategy": "add_collateral",
                "code": "empty_wallet",
                "why": "the wallet holds no WETH",
                "cost_usd": None,
            },
        ],
        "stake": {"chance": 0.42, "loss_usd": 300.0},
    }
    decided = Entry(kind="decision", chain_id=1, block_number=7, subject=ID, why="so", data=data)
    journal.record_all([tick(1, 11), decided])
    assert invoke(["explain", "vault", "-c", str(config)]) == 0
    told = [x.strip() for x in capsys.readouterr().out.splitlines() if x.startswith("    ")]
    assert told == [
        "takes deleverage: $12.30 = gas $6.00 + swap $5.80 + flash fee $0.50",
        "doing nothing: chance 42% x loss $300.00 (bonus forgone) = $126.00 expected: the way, not whether",
        "not repay for $13.00: dearer: would cost $13.00",
        "not add_collateral: empty_wallet: the wallet holds no WETH",
    ]


def test_journal__when_nothing_matches__then_that_is_said_and_no_empty_table_is_shown(
    config: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.record(tick(1, 41))
    assert invoke(["journal", "--kind", "decision", "-c", str(config)]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no such entry" in shown.err
    assert invoke(["journal", "--kind", "tick", "-c", str(config)]) == 0
    assert "worst SAFE" in capsys.readouterr().out


A, B, C = ("0x" + f"{n:02d}" * 20 for n in (11, 22, 33))


@pytest.mark.parametrize(
    ("kind", "market", "key"),
    [
        ("aave_v3", None, A),
        ("compound_v3", None, A),
        ("morpho_blue", "0x" + "ab" * 32, "0x" + "ab" * 32),
        ("maker", "0x" + b"ETH-A".ljust(32, b"\0").hex(), "ETH-A"),
        ("gmx_v2", f"{B}:{C}:short", f"{B}/{C}/short"),
    ],
)
def test_key__of_a_market__is_what_its_venue_calls_it(kind: str, market: str | None, key: str) -> None:
    assert _key(VenueSettings(name="v", kind=kind, chain="c", provider=A, market=market)) == key

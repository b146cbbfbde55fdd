"""A Morpho oracle looked into: its feeds by name, a scale that does not fit, and what is said not to be looked at."""

from __future__ import annotations

import pytest
from eth_utils.address import to_checksum_address

from keeper.oracle import composed, faults
from keeper.seams import Severity
from keeper.sockets import Pair
from keeper.words import Words

pytestmark = pytest.mark.unit

ETH, USD, MORE = (int(byte * 20, 16) for byte in ("e1", "d1", "a7"))
SUBJECT = Pair(
    id="morpho_blue:1:0xmarket:0xoracle",
    address=to_checksum_address("0x" + "0c" * 20),
    symbols=("WETH", "USDC"),
    decimals=(18, 6),
)
SCALE = 10 ** (36 + 6 - 18 + 8 - 8)


def words(*answers: int | None) -> Words:
    """A batch of one-word answers; None is a call that reverted."""
    body, offsets, at = b"", b"", 32 * len(answers)
    for answer in answers:
        data = b"" if answer is None else answer.to_bytes(32)
        result = int(answer is not None).to_bytes(32) + (64).to_bytes(32) + len(data).to_bytes(32) + data
        offsets += at.to_bytes(32)
        at += len(result)
        body += result
    return Words([(32).to_bytes(32) + len(answers).to_bytes(32) + offsets + body], [len(answers)])


def look(
    *feeds: int | None,
    vaults: tuple[int | None, ...] = (0, 0, None),
    scale: int = SCALE,
    said: tuple[int, ...],
) -> tuple[list[tuple[str, str, int]], list[tuple[Severity, str]]]:
    """(feeds for the room, faults) of an oracle that answers so; ``said``: the decimals of its feeds."""
    made = composed.parsed([SUBJECT], words(*feeds, *vaults, scale))
    named, found = composed.looked(made, words(*said))
    return [(n.id, n.symbol, n.expected_decimals) for n in named], [(f.severity, f.code) for f in found]


def test_oracle__of_two_feeds__then_both_are_looked_at_and_nothing_is_wrong() -> None:
    named, found = look(ETH, 0, USD, 0, said=(8, 8))
    assert named == [
        (f"{SUBJECT.id}:BASE_FEED_1", "WETH", 8),
        (f"{SUBJECT.id}:QUOTE_FEED_1", "USDC", 8),
    ]
    assert found == []


def test_oracle__of_one_feed_of_other_decimals__then_its_scale_is_judged_by_what_it_says() -> None:
    assert look(ETH, 0, 0, 0, scale=10 ** (36 + 6 - 18 - 18), said=(18,))[1] == []
    assert look(ETH, MORE, USD, 0, scale=10 ** (36 + 6 - 18 - 8 - 18 + 8), said=(8, 18, 8))[1] == []


def test_oracle__when_its_scale_does_not_fit_tokens_and_feeds__then_it_is_critical() -> None:
    # a feed taken for one of six decimals: the collateral is worth a hundred times its price
    assert look(ETH, 0, USD, 0, scale=SCALE * 100, said=(8, 8))[1] == [(Severity.CRITICAL, "feed_decimals")]


@pytest.mark.parametrize("missing", range(4))
def test_oracle__when_it_does_not_name_its_feeds__then_it_is_said_not_to_be_looked_at(missing: int) -> None:
    feeds: list[int | None] = [ETH, 0, USD, 0]
    feeds[missing] = None
    assert look(*feeds, said=()) == ([], [(Severity.INFO, "feed_unlooked")])


def test_oracle__when_an_answer_is_no_address__then_it_is_not_taken_for_one() -> None:
    assert look(1 << 200, 0, USD, 0, said=()) == ([], [(Severity.INFO, "feed_unlooked")])


def test_oracle__through_a_vault__then_feeds_are_looked_at_and_the_share_price_is_said_not_to_be() -> None:
    named, found = look(ETH, 0, 0, 0, vaults=(MORE, 0, None), said=(8,))
    assert [id for id, _, _ in named] == [f"{SUBJECT.id}:BASE_FEED_1"]
    assert found == [(Severity.INFO, "feed_unlooked")]
    assert "feed_unlooked" in faults.CODES

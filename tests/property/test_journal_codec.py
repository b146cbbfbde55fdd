"""Every record of the vocabulary survives the journal's JSON, whatever integers it holds."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.errors import Broken
from keeper.journal import codec
from keeper.model import (
    Attempt,
    Decision,
    Entry,
    Fee,
    Intent,
    Outcome,
    Outlook,
    Plan,
    PlanKey,
    Policy,
    PositionId,
    Proposal,
    Refusal,
    Shock,
    Snapshot,
)
from keeper.seams import Reading, Shadow, WalletFacts

pytestmark = pytest.mark.property

WORD = st.text("abcxyz0189_", min_size=1, max_size=8)
UINT = st.one_of(st.integers(0, 10), st.integers(0, 2**256 - 1), st.sampled_from([2**53, 2**53 + 1, 2**63]))
st.register_type_strategy(int, UINT)
st.register_type_strategy(float, st.floats(allow_nan=False))
st.register_type_strategy(str, st.text(max_size=8))
st.register_type_strategy(
    PositionId, st.builds(PositionId, venue=WORD, chain_id=st.integers(1, 2**40), account=WORD, key=WORD)
)
st.register_type_strategy(
    PlanKey, st.builds(PlanKey, position=st.from_type(PositionId), seq=st.integers(1, 10**6))
)
st.register_type_strategy(object, st.one_of(st.none(), st.booleans(), st.text(max_size=4)))

RECORDS = (
    Plan,
    Proposal,
    Decision,
    Snapshot,
    Intent,
    Attempt,
    Outcome,
    Outlook,
    Policy,
    Refusal,
    Shock,
    Fee,
    Entry,
    Shadow,
    Reading,
    WalletFacts,
)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda k: k.__name__)
def test_record__when_written_and_read__then_equal(kind: type) -> None:
    @settings(max_examples=40, deadline=None)
    @given(st.from_type(kind))
    def round_trip(record: Any) -> None:
        text = codec.dumps(record)
        assert codec.loads(kind, text) == record
        assert codec.dumps(codec.loads(kind, text)) == text

    round_trip()


@settings(max_examples=60, deadline=None)
@given(st.from_type(Plan))
def test_json__when_a_foreign_reader_parses_it__then_no_integer_is_beyond_a_double(plan: Plan) -> None:
    def check(value: object) -> None:
        if isinstance(value, dict):
            for v in value.values():
                check(v)
        elif isinstance(value, list):
            for v in value:
                check(v)
        elif isinstance(value, int):
            assert abs(value) <= 2**53

    check(json.loads(codec.plan_to_json(plan)))


@settings(max_examples=60, deadline=None)
@given(st.from_type(Plan), st.data())
def test_plan__when_its_text_is_damaged__then_broken_or_a_plan_and_never_another_error(
    plan: Plan, data: st.DataObject
) -> None:
    text = codec.plan_to_json(plan)
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.sampled_from(["", '"', "{", "null", "9", "\x00"])) + text[at + 1 :]
    try:
        found = codec.plan_from_json(damaged)
    except Broken:
        return
    assert isinstance(found, Plan)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_float__when_json_has_no_word__then_it_survives_as_text(value: float) -> None:
    shock = Shock(name="x", moves={"*": value})
    back = codec.loads(Shock, codec.dumps(shock)).moves["*"]
    assert back == value or (math.isnan(back) and math.isnan(value))


@pytest.mark.parametrize(
    "text",
    [
        '{"name":"x"}',
        '{"name":"x","moves":{},"more":1}',
        '{"name":1,"moves":{}}',
        '{"name":"x","moves":{"a":true}}',
        "[]",
        "nonsense",
    ],
)
def test_record__when_the_text_is_of_another_shape__then_broken(text: str) -> None:
    with pytest.raises(Broken):
        codec.loads(Shock, text)

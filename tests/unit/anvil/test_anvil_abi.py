"""Signature text in, bytes out, and back; reverts are named."""

from __future__ import annotations

import pytest

from anvil.abi import decode_answer, encode_call, explain_revert, parse
from anvil.client import Chain

pytestmark = pytest.mark.unit


def test_call__encoded__has_the_known_selector_and_words() -> None:
    data = encode_call("transfer(address,uint256)", "0x" + "11" * 20, 5)
    assert data.hex() == "a9059cbb" + "00" * 12 + "11" * 20 + f"{5:064x}"


def test_signature__with_tuples__splits_at_the_top_level_only() -> None:
    _, inputs, outputs = parse("f((address,uint24),bool)(uint256,(int8,int8)[])")
    assert inputs == ("(address,uint24)", "bool")
    assert outputs == ("uint256", "(int8,int8)[]")


def test_answers_types__are_not_part_of_the_selector() -> None:
    assert parse("balanceOf(address)(uint256)")[0] == parse("balanceOf(address)")[0]


def test_answer__one_value_or_several_or_untyped__is_value_tuple_or_bytes() -> None:
    word = (7).to_bytes(32, "big")
    assert decode_answer("f()(uint256)", word) == 7
    assert decode_answer("f()(uint256,uint256)", word + word) == (7, 7)
    assert decode_answer("f()", word) == word


def test_answer__address__is_checksummed() -> None:
    word = bytes(12) + bytes.fromhex("ca11bde05977b3631167028862be2a173976ca11")
    assert decode_answer("f()(address)", word) == "0xcA11bde05977b3631167028862bE2a173976CA11"


def test_signature__unbalanced__is_refused() -> None:
    with pytest.raises(ValueError, match="not a function signature"):
        parse("f(uint256")


@pytest.mark.parametrize(
    ("data", "name", "arguments"),
    [
        (encode_call("Error(string)", "no cash"), "no cash", ()),
        (encode_call("Panic(uint256)", 17), "Panic", (17,)),
        (encode_call("Capped(uint8,bool)", 3, True), "Capped", (3, True)),
        (bytes.fromhex("deadbeef"), "0xdeadbeef", ()),
        (b"", "reverted without data", ()),
    ],
)
def test_revert__explained__has_its_name(data: bytes, name: str, arguments: tuple[object, ...]) -> None:
    errors = {parse("Capped(uint8,bool)")[0].hex(): "Capped(uint8,bool)"}
    assert explain_revert(data, errors) == (name, arguments)


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "http://10.0.0.1:8545", "http://example.invalid"])
def test_client__of_anything_but_loopback__is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Chain(url)

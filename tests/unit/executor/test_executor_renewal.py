"""The module's address follows from code and terms, its end from the Safe's list; what it refuses is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import decode, encode

from keeper.executor import verify
from keeper.executor.deploying import DEPLOY, VENUES
from keeper.executor.renewal import (
    DISABLE,
    HEAD,
    NAME,
    Enabled,
    Renewal,
    disabling,
    enabling,
    errors,
    made,
    modules,
    problems,
    terms,
)
from keeper.words import Words

pytestmark = pytest.mark.unit
SAFE, EXECUTOR, TOKEN, OTHER = ("0x" + f"{n:02x}" * 20 for n in (0x11, 0x22, 0x33, 0x44))
NOW_S = 1_800_000_000
HOUR_S = 3_600
WISH = Renewal(
    safe=SAFE, executor=EXECUTOR, until_s=NOW_S + 90 * 86_400, period_s=86_400, lines=((TOKEN, 8), (OTHER, 5))
)
NAMES = {TOKEN: "--amount WETH", OTHER: "--reserve USDC"}


def answered(data: bytes) -> Words:
    """One call's answer."""
    return Words([encode(["(bool,bytes)[]"], [[(True, data)]])], [1])


def test_address__of_other_terms_or_another_safe__is_another() -> None:
    others = (
        replace(WISH, safe=OTHER),
        replace(WISH, executor=OTHER),
        replace(WISH, until_s=WISH.until_s + 1),
        replace(WISH, period_s=WISH.period_s + 1),
        replace(WISH, lines=WISH.lines[:1]),
        replace(WISH, lines=((TOKEN, 9), (OTHER, 5))),
    )
    assert len({WISH.address, *(w.address for w in others)}) == 7


def test_made__calldata__hands_code_and_terms_to_the_factory() -> None:
    signing = made(WISH, ("8 WETH",))
    assert signing.call.target == verify.factory_address(NAME)
    assert signing.call.data[:4] == DEPLOY
    code, _ = decode(["bytes", VENUES], signing.call.data[4:])
    assert code == WISH.creation
    assert code.startswith(verify.artifact(NAME).creation)
    assert WISH.address in signing.meaning


def test_terms__as_the_contract_tells_them__are_read_back() -> None:
    words = encode(
        ["address", "address", "uint256", "uint256", "(address,uint256)[]"],
        [SAFE, EXECUTOR, WISH.until_s, WISH.period_s, list(WISH.lines)],
    )
    found = terms(answered(words), 0)
    assert found is not None
    assert found.address == WISH.address
    assert terms(answered(words[:-32]), 0) is None
    assert terms(answered(b""), 0) is None
    assert terms(answered(words[:128] + bytes(32) + words[160:]), 0) is None


def test_modules__of_a_safe_and_of_what_is_none__are_read() -> None:
    page = encode(["address[]", "address"], [[TOKEN, OTHER], HEAD])
    assert [m.lower() for m in modules(answered(page), 0) or ()] == [TOKEN, OTHER]
    assert modules(answered(b""), 0) is None
    assert modules(answered(encode(["address[]", "address"], [[], HEAD])), 0) == ()


def test_disabling__neighbours_in_the_list__names_what_lies_before_by_then() -> None:
    one, two, three = SAFE, TOKEN, OTHER
    signs = disabling(EXECUTOR, [one, two, three], [two, three])
    told = [decode(["address", "address"], s.call.data[4:]) for s in signs]
    assert [s.call.data[:4] for s in signs] == [DISABLE, DISABLE]
    assert told == [(one, two), (one, three)]
    (alone,) = disabling(EXECUTOR, [one], [one])
    assert decode(["address", "address"], alone.call.data[4:]) == (HEAD, one)


def test_enabling__whoever_signs__sees_whom_what_how_often_and_until_when() -> None:
    meaning = enabling(WISH, ("8 WETH", "5 USDC")).meaning
    for part in (SAFE, EXECUTOR, "8 WETH and 5 USDC", "once in 24 hours", "2027-04-15"):
        assert part in meaning
    # the page on trust: floor(week / period) + 2, and a renewal for each period that is left
    assert WISH.times(NOW_S, there=False) == (9, 91)
    assert WISH.times(NOW_S, there=True) == (9, 92)
    assert WISH.times(WISH.until_s - 86_400, there=False) == (2, 2)


def test_enabled__of_other_code_or_at_another_address__is_wrong_by_name() -> None:
    code = verify.artifact(NAME).runtime
    right = Enabled(module=WISH.address, code=code, terms=WISH)
    assert (right.ours, right.wrong) == (True, "")
    assert replace(right, module=OTHER).wrong.startswith("UNPROVEN")
    assert replace(right, code=code[:-1] + b"\x01").wrong.startswith("other code than the module's")
    assert replace(right, terms=None).wrong == "it does not tell its terms"
    assert not Enabled(module=OTHER, code=b"\x01", terms=None).ours


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (replace(WISH, until_s=NOW_S), "--until"),
        (replace(WISH, until_s=NOW_S + 365 * 86_400 + 1), "--until"),
        (replace(WISH, period_s=HOUR_S - 1), "--period"),
        (replace(WISH, period_s=90 * 86_400 + 1), "--period"),
        (replace(WISH, lines=()), "--module"),
        (replace(WISH, lines=((TOKEN, 0), (OTHER, 5))), "--amount WETH: nothing"),
        (replace(WISH, lines=((TOKEN, 1), (OTHER, 2**112))), "--reserve USDC: an allowance without limit"),
    ],
)
def test_problems__what_the_constructor_refuses__is_said_by_its_option(wish: Renewal, why: str) -> None:
    (told,) = problems(wish, NOW_S, NAMES)
    assert told.startswith(why)


def test_problems__at_every_border__are_none() -> None:
    for wish in (
        WISH,
        replace(WISH, until_s=NOW_S + 365 * 86_400, period_s=HOUR_S),
        replace(WISH, period_s=90 * 86_400),
        replace(WISH, lines=((TOKEN, 2**112 - 1),)),
    ):
        assert problems(wish, NOW_S, NAMES) == ()


def test_errors__every_refusal_of_renew__has_words() -> None:
    told = set(verify.artifact(NAME).errors)
    made_only = {"BadSafe", "BadExecutor", "NotTheSafes", "BadUntil", "BadPeriod", "BadCount", "BadToken"}
    made_only |= {"TwiceNamed", "BadAmount", "ReentrancyGuardReentrantCall"}
    names = {e.partition("(")[0] for e in told} - made_only
    assert {words.partition(":")[0] for words in errors().values()} == names

"""What ends a module ends its allowances too, what adds up is told, and what could not be read is no revocation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from eth_abi.abi import decode, encode

from keeper.cli import owner_module, renewing
from keeper.cli.module_verify import _elsewhere, adds_up, findings
from keeper.cli.renewing import Due, Purse, _waits, fees
from keeper.errors import ConfigError, Transient
from keeper.executor.grants import APPROVE, Signing
from keeper.executor.read import ALLOWANCE
from keeper.executor.renewal import DISABLE, HEAD, PAGE, TERMS, Enabled, Listed, Renewal
from keeper.executor.safe import VERSION
from keeper.model import Call
from keeper.words import Words
from tests.aave_market import encode_answers

pytestmark = pytest.mark.unit
SAFE, EXECUTOR, TOKEN, DEAF, OTHER, SECOND, STRANGE = (
    "0x" + f"{n:02x}" * 20 for n in (0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77)
)
NOW_S = 1_800_000_000
GWEI = 10**9
WISH = Renewal(
    safe=SAFE, executor=EXECUTOR, until_s=NOW_S + 90 * 86_400, period_s=86_400, lines=((TOKEN, 8),)
)


def told(terms: Renewal) -> bytes:
    """``terms()`` as the contract answers."""
    return encode(
        ["address", "address", "uint256", "uint256", "(address,uint256)[]"],
        [terms.safe, terms.executor, terms.until_s, terms.period_s, list(terms.lines)],
    )


def placed(modules: dict[str, Renewal | None] | None, *, standing: int = 0, next_: str = HEAD) -> Any:
    """A Safe with these modules, every allowance standing at so much; None: its list does not answer."""

    def answer(call: Call) -> bytes | None:
        if call.data[:4] == PAGE:
            if modules is None:
                return None
            return encode(["address[]", "address"], [list(modules), next_])
        if call.data[:4] == VERSION:
            return encode(["string"], ["1.4.1"])
        if call.data[:4] == TERMS:
            terms = (modules or {})[call.target.lower()]
            return None if terms is None else told(terms)
        assert call.data[:4] == ALLOWANCE
        return None if call.target.lower() == DEAF else standing.to_bytes(32)

    async def read(calls: Sequence[Call]) -> Words:
        return encode_answers([answer(c) for c in calls])

    async def request(*_: object) -> str:
        return "0x01"

    site = SimpleNamespace(
        camera=SimpleNamespace(reader=lambda _: read),
        block=SimpleNamespace(number=1, timestamp_s=NOW_S),
        endpoints=SimpleNamespace(request=request),
    )
    return SimpleNamespace(site=site, owner=SAFE, executor=EXECUTOR)


def ending(at: Any, *done: str) -> tuple[tuple[Signing, ...], str]:
    signs, remains = asyncio.run(owner_module.ending(at, frozenset(done)))
    return signs, " ".join(remains)


def test_ending__when_nothing_of_the_allowance_stands_yet__then_it_is_taken_away_after_the_module() -> None:
    signs, _ = ending(placed({OTHER: WISH}, standing=0))
    assert [s.call.data[:4] for s in signs] == [DISABLE, APPROVE]
    assert signs[1].call.target.lower() == TOKEN
    assert decode(["address", "uint256"], signs[1].call.data[4:]) == (EXECUTOR, 0)
    # what the rest of a revocation takes away is not asked for twice
    assert [s.call.data[:4] for s in ending(placed({OTHER: WISH}), TOKEN)[0]] == [DISABLE]


def test_ending__when_no_module_is_there__then_nothing_is_signed() -> None:
    assert ending(placed({}, standing=8)) == ((), "")


def test_ending__when_one_token_does_not_answer__then_the_module_ends_and_that_token_is_named() -> None:
    both = replace(WISH, lines=((DEAF, 5), (TOKEN, 8)))
    signs, remains = ending(placed({OTHER: both}))
    assert [s.call.target.lower() for s in signs] == [SAFE, TOKEN]
    assert DEAF in remains.lower()
    assert "by itself" in remains


def test_ending__when_a_module_feeds_another_executor__then_it_stays_and_is_named() -> None:
    signs, remains = ending(placed({OTHER: replace(WISH, executor=SECOND), STRANGE: None}))
    assert signs == ()
    assert SECOND in remains.lower()
    assert "may send whatever its code says" in remains


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (placed(None), "could not be read: this may not be all"),
        (placed({OTHER: WISH}, next_=OTHER), "more than 32 modules"),
    ],
)
def test_ending__when_not_every_module_was_read__then_it_is_not_said_to_be_all(at: Any, why: str) -> None:
    assert why in ending(at)[1]


def test_grant__of_what_a_module_renews__says_that_nothing_revokes_it() -> None:
    plain = Signing(
        call=Call(target=TOKEN, data=APPROVE + bytes(64)),
        signs="approve",
        meaning="the Executor may take 8 X, all in all: the most that can ever be sold; 0 revokes",
    )
    (sign,), (note,) = asyncio.run(owner_module.marked(placed({OTHER: WISH}), "vault", (plain,)))
    assert "most that can ever be sold" not in sign.meaning
    assert "keeper revoke --executor vault --module" in sign.meaning
    assert "whatever is approved" in note
    ended = replace(WISH, until_s=NOW_S - 1)
    assert asyncio.run(owner_module.marked(placed({OTHER: ended}), "vault", (plain,))) == ((plain,), ())


def test_older_module__that_renews_more__is_not_ended_silently() -> None:
    token = SimpleNamespace(address=TOKEN, symbol="USDC", decimals=0)
    venue, seat = SimpleNamespace(tokens=(token,)), SimpleNamespace(receipts={})
    at: Any = SimpleNamespace(venue=venue, seat=seat, guarded=SimpleNamespace(label="vault"))
    older = Enabled(module=OTHER, code=b"", terms=WISH)
    (why,) = owner_module._lost(at, replace(WISH, lines=((SECOND, 1),)), [older])
    assert "--reserve USDC=8" in why
    assert "keeper revoke --executor vault --module" in why
    assert owner_module._lost(at, replace(WISH, lines=((TOKEN, 1),)), [older]) == ()


def test_verify__of_two_modules_for_one_executor_and_token__is_a_finding() -> None:
    one, two = (Enabled(module=m, code=b"", terms=WISH) for m in (OTHER, STRANGE))
    apart = Enabled(module=DEAF, code=b"", terms=replace(WISH, executor=SECOND))
    found = Listed(rows=(one, two, apart))
    assert STRANGE in adds_up(one, found)
    assert findings([("vault", adds_up(one, found))])
    assert adds_up(apart, found) == ""
    assert adds_up(one, Listed(rows=(one, apart))) == ""


def test_verify__of_a_module_for_another_executor_of_the_same_safe__is_no_finding() -> None:
    own = frozenset({EXECUTOR, SECOND})
    assert _elsewhere(replace(WISH, executor=SECOND), SAFE, own) == ""
    assert _elsewhere(replace(WISH, executor=OTHER), SAFE, own) != ""
    assert _elsewhere(replace(WISH, safe=OTHER), SAFE, own) != ""


def test_fees__in_a_crash__stay_under_the_cap_and_over_what_is_replaced() -> None:
    # calm, and a node that names a tip of its own liking
    assert fees(20 * GWEI, 900 * GWEI, None, 1_000 * GWEI) == (60 * GWEI, 20 * GWEI)
    # the cap is the room that is left, not a reason to wait while a block would take it
    assert fees(600 * GWEI, 2 * GWEI, None, 1_000 * GWEI) == (1_000 * GWEI, 2 * GWEI)
    assert fees(999 * GWEI, 2 * GWEI, None, 1_000 * GWEI) is None
    # both fields by an eighth, rounded up
    assert fees(GWEI, GWEI, (80 * GWEI + 1, 8 * GWEI + 1), 1_000 * GWEI) == (
        -(-(80 * GWEI + 1) * 1_125 // 1_000),
        -(-(8 * GWEI + 1) * 1_125 // 1_000),
    )
    assert fees(GWEI, GWEI, (900 * GWEI, GWEI), 1_000 * GWEI) is None


def test_cap__unless_named__is_the_storm_of_the_chain() -> None:
    key: Any = None
    assert Purse(key=key).cap_wei(100_000, 1_000.0) == 10**17
    assert Purse(key=key, fee_wei_max=7).cap_wei(100_000, 1_000.0) == 7


def due(standing: int = 4) -> Due:
    """One that may be renewed now, unless more than half stands."""
    return Due(
        module=OTHER,
        token=TOKEN,
        symbol="X",
        decimals=0,
        units=9,
        standing=standing,
        ready_s=NOW_S,
        until_s=NOW_S,
    )


def test_due__while_more_than_half_stands__waits() -> None:
    assert _waits(due(4), NOW_S) == ""
    assert "more than half" in _waits(due(5), NOW_S)


def test_renewal__when_the_first_hangs__then_it_is_told_and_not_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hangs(*_: object) -> Due:
        raise Transient("no endpoint")

    monkeypatch.setattr(renewing, "_send", hangs)
    purse: Any = None
    found = asyncio.run(renewing._tried(placed({}), due(), purse, 0))
    assert (found.failed, found.transaction) == (True, "not sent: no endpoint")


@pytest.mark.parametrize(
    ("words", "what"),
    [((1, 0, 0), "a bot"), ((0, int(OTHER, 16), 0), "the guardian"), ((0, 0, 1), "an owner of the Safe")],
)
def test_key__with_a_right_there__is_refused_by_name(words: tuple[int, ...], what: str) -> None:
    async def read(_: Sequence[Call]) -> Words:
        return encode_answers([w.to_bytes(32) for w in words])

    at = placed({})
    at.site.camera.reader = lambda _: read
    with pytest.raises(ConfigError, match=what):
        asyncio.run(renewing._strange(at, OTHER))


def test_stuck__renewal_of_ours__is_replaced_and_anothers_is_not() -> None:
    row = {"nonce": "0x5", "maxFeePerGas": "0x10", "maxPriorityFeePerGas": "0x2"}
    at = placed({})

    async def request(method: str, _: object) -> object:
        assert method == "txpool_contentFrom"
        return {"pending": {"5": row}}

    at.site.endpoints.request = request
    row["input"] = "0x" + renewing.renewal.RENEW.hex() + "00" * 32
    assert asyncio.run(renewing._stuck(at, STRANGE, 5)) == (16, 2)
    row["input"] = "0x"
    with pytest.raises(ConfigError, match="another transaction under way"):
        asyncio.run(renewing._stuck(at, STRANGE, 5))

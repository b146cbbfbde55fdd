"""What ends a module ends its allowances too, what adds up is told, and what could not be read is no revocation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from eth_abi.abi import decode, encode

from keeper.cli import owner_module, renewing
from keeper.cli.module_verify import Who, _elsewhere, _of, adds_up, findings
from keeper.cli.renew_rows import Due, Renewals
from keeper.cli.renewing import Purse, _waits, fees
from keeper.errors import ConfigError, Transient
from keeper.executor import verify
from keeper.executor.grants import APPROVE, Signing, _approval, _purse, transaction_builder
from keeper.executor.read import ALLOWANCE
from keeper.executor.renewal import (
    DISABLE,
    ENABLE,
    HEAD,
    NAME,
    PAGE,
    READY_AT,
    TERMS,
    Enabled,
    Listed,
    Renewal,
)
from keeper.executor.safe import VERSION
from keeper.model import Call, Token
from keeper.words import Words
from tests.aave_market import encode_answers

pytestmark = pytest.mark.unit
SAFE, EXECUTOR, TOKEN, DEAF, OTHER, SECOND, STRANGE = (
    "0x" + f"{n:02x}" * 20 for n in (0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77)
)
NOW_S = 1_800_000_000
GWEI = 10**9
USDC = Token(chain_id=1, address=TOKEN, symbol="USDC", decimals=0)
WISH = Renewal(
    safe=SAFE, executor=EXECUTOR, until_s=NOW_S + 90 * 86_400, period_s=86_400, lines=((TOKEN, 8),)
)


def told(terms: Renewal) -> bytes:
    """``terms()`` as the contract answers."""
    return encode(
        ["address", "address", "uint256", "uint256", "(address,uint256)[]"],
        [terms.safe, terms.executor, terms.until_s, terms.period_s, list(terms.lines)],
    )


def placed(
    modules: dict[str, Renewal | None] | None,
    *,
    standing: int = 0,
    next_: str = HEAD,
    safe: bool = True,
    code: bytes = b"\x01",
) -> Any:
    """A Safe with these modules, every allowance standing at so much; None: its list does not answer."""

    def answer(call: Call) -> bytes | None:
        if call.data[:4] == PAGE:
            if modules is None:
                return None
            return encode(["address[]", "address"], [list(modules), next_])
        if call.data[:4] == VERSION:
            return encode(["string"], ["1.4.1"]) if safe else None
        if call.data[:4] == TERMS:
            terms = (modules or {})[call.target.lower()]
            return None if terms is None else told(terms)
        if call.data[:4] == READY_AT:
            return NOW_S.to_bytes(32)
        assert call.data[:4] == ALLOWANCE
        return None if call.target.lower() == DEAF else standing.to_bytes(32)

    async def read(calls: Sequence[Call]) -> Words:
        return encode_answers([answer(c) for c in calls])

    async def request(*_: object) -> str:
        return "0x" + code.hex()

    site = SimpleNamespace(
        camera=SimpleNamespace(reader=lambda _: read),
        block=SimpleNamespace(number=1, timestamp_s=NOW_S),
        endpoints=SimpleNamespace(request=request),
    )
    venue: Any = SimpleNamespace(tokens=(USDC,))
    return SimpleNamespace(
        site=site,
        owner=SAFE,
        executor=EXECUTOR,
        venue=venue,
        seat=SimpleNamespace(receipts={}),
        guarded=SimpleNamespace(label="vault"),
    )


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


def test_ending__of_a_contract_that_is_no_safe__says_whom_it_cannot_know() -> None:
    signs, remains = ending(placed(None, safe=False))
    assert signs == ()
    assert remains == f"{SAFE} does not answer as a Safe does: whom it lets act for it is not named here"


def granted(units: int = 9) -> tuple[Signing, ...]:
    """Both allowances of a plain grant, in its own words."""
    wish: Any = SimpleNamespace(executor=EXECUTOR, receipts={USDC: TOKEN})
    return (_approval(wish, USDC, units), _purse(wish, USDC, units))


def test_grant__of_what_a_module_renews__says_that_nothing_revokes_it() -> None:
    plain = granted()
    assert all("all in all" in s.meaning and "0 revokes" in s.meaning for s in plain)
    shown, (note,) = asyncio.run(owner_module.marked(placed({OTHER: WISH}), "vault", plain))
    for sign in shown:
        assert "all in all" not in sign.meaning
        assert "0 revokes" not in sign.meaning
        assert "until a module renews it: `keeper revoke --executor vault --module` ends that" in sign.meaning
    assert "pay it into your position" in shown[1].meaning
    assert [s.call for s in shown] == [s.call for s in plain]
    for part in ("renewed on top", "8 USDC", "once in 24 hours", "2027-04-15", "whatever is approved"):
        assert part in note
    ended = replace(WISH, until_s=NOW_S - 1)
    anothers = replace(WISH, executor=SECOND)
    for none in (ended, anothers):
        assert asyncio.run(owner_module.marked(placed({OTHER: none}), "vault", plain)) == (plain, ())


def test_grant__while_the_modules_cannot_be_read__says_so_of_a_safe() -> None:
    _, notes = asyncio.run(owner_module.marked(placed(None), "vault", granted()))
    assert "one of them may renew these allowances" in " ".join(notes)
    assert asyncio.run(owner_module.marked(placed(None, safe=False), "vault", granted())) == (granted(), ())


def test_older_module__that_renews_more__is_not_ended_silently() -> None:
    at = placed({})
    older = Enabled(module=OTHER, code=b"", terms=WISH)
    (why,) = owner_module._lost(at, replace(WISH, lines=((SECOND, 1),)), [older])
    assert "--reserve USDC=8" in why
    assert "keeper revoke --executor vault --module" in why
    assert owner_module._lost(at, replace(WISH, lines=((TOKEN, 1),)), [older]) == ()
    over = replace(older, terms=replace(WISH, until_s=NOW_S - 1))
    assert owner_module._lost(at, replace(WISH, lines=((SECOND, 1),)), [over]) == ()


def second(wish: Renewal, at: Any) -> tuple[tuple[Signing, ...], str]:
    """What a second grant for the same Executor prints, and what it says of the first."""
    signs, notes = asyncio.run(owner_module._signings(at, wish, {TOKEN: USDC}))
    return signs, " ".join(notes)


def test_second_grant__for_one_executor__ends_the_first_in_one_file_and_says_what_it_was() -> None:
    more = replace(WISH, lines=((TOKEN, 9),))
    signs, said = second(more, placed({OTHER: WISH}))
    assert signs[0].call.data[:4] == DISABLE
    assert f"ends module {OTHER}" in said.lower()
    assert "8 USDC from the Safe, once in 24 hours each, until 2027-04-15" in said
    with pytest.raises(ConfigError, match="another may renew the same, and two would add up"):
        second(more, placed({OTHER: WISH}, next_=OTHER))


def test_enabling__in_the_file__bears_amount_period_end_and_totals() -> None:
    signs, said = second(WISH, placed({}))
    (yes,) = (s for s in signs if s.call.data[:4] == ENABLE)
    for part in ("8 USDC", "once in 24 hours", "2027-04-15", "72 in any week", "736 until the end"):
        assert part in yes.meaning
    assert said == ""
    body = transaction_builder(1, SAFE, signs)
    assert yes.meaning in str(body["meta"])


def test_allowance__that_stands_or_may_stand_by_then__is_set_to_nothing_first() -> None:
    def approved(at: Any, wish: Renewal = WISH) -> list[int]:
        calls = [s.call.data for s in second(wish, at)[0] if s.call.data[:4] == APPROVE]
        return [decode(["address", "uint256"], data[4:])[1] for data in calls]

    assert approved(placed({}, standing=0)) == [8]
    assert approved(placed({}, standing=3)) == [0, 8]
    assert approved(placed({}, standing=8)) == []
    # the one that is replaced may be renewed between the printing and the signatures
    more = replace(WISH, lines=((TOKEN, 9),))
    assert approved(placed({OTHER: WISH}, standing=0), more) == [0, 9]
    assert approved(placed({OTHER: WISH}, standing=9), more) == [0, 9]


def test_verify__of_two_modules_for_one_executor_and_token__is_a_finding() -> None:
    one, two = (Enabled(module=m, code=b"", terms=WISH) for m in (OTHER, STRANGE))
    apart = Enabled(module=DEAF, code=b"", terms=replace(WISH, executor=SECOND))
    found = Listed(rows=(one, two, apart))
    assert STRANGE in adds_up(one, found, NOW_S)
    assert findings([("vault", adds_up(one, found, NOW_S))])
    assert adds_up(apart, found, NOW_S) == ""
    assert adds_up(one, Listed(rows=(one, apart)), NOW_S) == ""
    assert adds_up(one, found, WISH.until_s + 1) == ""


def test_verify__of_one_safe_with_two_executors__shows_each_module_under_its_own() -> None:
    first, twin = replace(WISH), replace(WISH, executor=SECOND)
    modules = {first.address.lower(): first, twin.address.lower(): twin, STRANGE: None}
    at = placed(dict(modules))
    transport: Any = SimpleNamespace(request=at.site.endpoints.request)
    own = frozenset({EXECUTOR, SECOND})

    def shown(executor: str) -> list[str]:
        who = Who(label="x", owner=SAFE, executor=executor, own=own)
        rows = asyncio.run(_of(who, (transport, at.site.block), at.site.camera.reader(at.site.block)))
        return [row[1].lower() for row in rows]

    assert shown(EXECUTOR) == [first.address.lower(), STRANGE]
    assert shown(SECOND) == [twin.address.lower(), STRANGE]


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


def test_due__whose_token_or_module_does_not_answer__is_no_renewal_and_no_end_of_the_others() -> None:
    assert _waits(replace(due(), standing=None), NOW_S) == renewing.UNANSWERED
    assert _waits(replace(due(), ready_s=None), NOW_S) == renewing.UNANSWERED
    both = replace(WISH, lines=((DEAF, 5), (TOKEN, 8)))
    at = placed({both.address.lower(): both}, code=verify.artifact(NAME).runtime)
    deaf, well = asyncio.run(renewing._due(at)).rows
    assert (deaf.standing, well.standing) == (None, 0)


def test_due__when_not_every_module_was_read__says_so() -> None:
    at = placed({WISH.address.lower(): WISH}, code=verify.artifact(NAME).runtime, next_=OTHER)
    found = asyncio.run(renewing._due(at))
    assert len(found.rows) == 1
    assert "more than 32 modules" in found.unread
    with pytest.raises(Transient, match="could not be read"):
        asyncio.run(renewing._due(placed(None)))


@pytest.mark.parametrize(
    ("left_s", "lasting_s", "failed", "told"),
    [
        (-1, None, True, False),
        (-1, 30 * 86_400, False, False),
        (renewing.ENDS_S, None, False, True),
        (renewing.ENDS_S, 30 * 86_400, False, False),
        (renewing.ENDS_S + 1, None, False, False),
    ],
)
def test_renewals__of_a_term_that_ends__are_told_before_and_fail_after_unless_another_lasts(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    left_s: int,
    lasting_s: int | None,
    failed: bool,
    told: bool,
) -> None:
    rows = [replace(due(9), until_s=NOW_S + s) for s in (left_s, lasting_s) if s is not None]
    found = asked(monkeypatch, Renewals(rows=tuple(rows)))
    assert found.failed is failed
    assert ("its owners must sign another" in capsys.readouterr().err) is told


def test_renewals__of_no_module_or_of_one_not_proven__fail(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, Renewals()).failed
    lasts = replace(due(9), until_s=NOW_S + 30 * 86_400)
    assert not asked(monkeypatch, Renewals(rows=(lasts,))).failed
    assert asked(monkeypatch, Renewals(rows=(lasts,), wrong=("another's",))).failed
    assert asked(monkeypatch, Renewals(rows=(lasts,), unread="more than 32")).failed


def test_due__of_a_look_alike_beside_a_proven_one__the_proven_one_is_renewed() -> None:
    liar = replace(WISH, lines=((TOKEN, 9),))
    at = placed({WISH.address.lower(): WISH, OTHER.lower(): liar}, code=verify.artifact(NAME).runtime)
    found = asyncio.run(renewing._due(at))
    assert [d.module.lower() for d in found.rows] == [WISH.address.lower()] * len(WISH.lines)
    (why,) = found.wrong
    assert ("UNPROVEN" in why, "disable it" in why) == (True, True)


def asked(monkeypatch: pytest.MonkeyPatch, found: Renewals) -> Renewals:
    """What a run with a key makes of them, where nothing is due now."""

    async def read(*_: object) -> Renewals:
        return found

    async def harmless(*_: object) -> int:
        return 0

    @asynccontextmanager
    async def here(*_: object) -> AsyncIterator[Any]:
        yield placed({})

    for name, put in (("_due", read), ("_strange", harmless), ("_count", harmless)):
        monkeypatch.setattr(renewing, name, put)
    monkeypatch.setattr(renewing, "placed", here)
    anything: Any = SimpleNamespace(key=SimpleNamespace(address=STRANGE))
    return asyncio.run(renewing.renewals(anything, "vault", anything))


def test_renewal__of_two_tokens_with_a_block_between__leaves_no_gap_of_nonces_and_waits_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = replace(WISH, lines=((SECOND, 5), (TOKEN, 8)))
    at = placed({both.address.lower(): both}, code=verify.artifact(NAME).runtime)
    took, mined = list[int](), 7

    async def sends(at: object, row: Due, purse: object, nonce: int) -> Due:
        nonlocal mined
        took.append(nonce)
        mined += 1
        return replace(row, transaction="0x01")

    async def counted(*_: object) -> int:
        return mined

    both_wait = asyncio.Event()

    async def mines(_: object, row: Due) -> Due:
        # the first receipt comes only once the second is waited for too
        if row.token.lower() == TOKEN:
            both_wait.set()
        await asyncio.wait_for(both_wait.wait(), 5)
        return row

    async def harmless(*_: object) -> None:
        pass

    @asynccontextmanager
    async def here(*_: object) -> AsyncIterator[Any]:
        yield at

    for name, put in (("_send", sends), ("_count", counted), ("_mined", mines), ("_strange", harmless)):
        monkeypatch.setattr(renewing, name, put)
    monkeypatch.setattr(renewing, "placed", here)
    anything: Any = SimpleNamespace(key=SimpleNamespace(address=STRANGE))
    found = asyncio.run(renewing.renewals(anything, "vault", anything))
    assert took == [7, 8]
    assert [d.failed for d in found.rows] == [False, False]


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

"""A Safe's module that renews finite allowances to its Executor: what it is made of, and how it proves itself. Pure.

Source: contracts/src/SafeRenewal.sol; Safe's ModuleManager.sol (getModulesPaginated, enableModule, disableModule).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.executor import verify
from keeper.executor.abi import UINT112_MAX, ZERO, selector
from keeper.executor.deploying import DEPLOY, VENUES
from keeper.executor.grants import APPROVE, DAY_S, Signing, day
from keeper.executor.read import ALLOWANCE
from keeper.model import Call
from keeper.words import Words

NAME = "SafeRenewal"
TERMS = selector("terms()")
READY_AT = selector("readyAt(address)")
RENEW = selector("renew(address)")
ENABLE = selector("enableModule(address)")
DISABLE = selector("disableModule(address,address)")
PAGE = selector("getModulesPaginated(address,uint256)")
HEAD = "0x" + "00" * 19 + "01"
"""The Safe's list of modules begins after it."""
MODULES_MAX = 32
"""Modules of one Safe that are looked at."""
IS_OWNER = selector("isOwner(address)")
GUARDIAN = selector("guardian()")
WEEK_S = 7 * DAY_S
HOUR_S = 3_600
PERIOD_S_MIN, TERM_S_MAX, LINES_MAX = HOUR_S, 365 * DAY_S, 8
"""SafeRenewal.PERIOD_MIN, TERM_MAX, TOKENS_MAX."""
_CONSTRUCTOR = ("address", "address", "uint256", "uint256", "(address,uint256)[]")
_NO_VENUES = (ZERO, ZERO, ZERO, bytes(32), ZERO)
"""The factory hands its second argument to a constructor that asks for it: this one asks for nothing."""
_ERRORS = {
    "TokenUnknown": "the module renews no such token",
    "Ended": "its term is over",
    "TooEarly": "renewed less than a period ago",
    "ExecutorPaused": "owner or guardian stopped the Executor",
    "NotEnabled": "the Safe does not have this module, or has it no more",
    "NotUsed": "more than half of the allowance stands",
    "ApproveFailed": "the token refused the approval",
    "AllowanceWrong": "the token said yes and allows another amount",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What a module was constructed with, for ever."""

    safe: str
    executor: str
    until_s: int
    period_s: int
    lines: tuple[tuple[str, int], ...]
    """(token, units that the Executor may be allowed at a time)."""

    def over(self, now_s: int) -> bool:
        """Whether its term is over: it renews nothing any more."""
        return now_s > self.until_s

    def times(self, now_s: int, *, there: bool) -> tuple[int, int]:
        """How often each amount can be taken: (in any week, from now until the end).

        ``there``: the module lies there already, so that its first renewal may be due at once.
        """
        left_s = max(self.until_s - now_s, 0)
        total = 1 + left_s // self.period_s + there
        return min(WEEK_S // self.period_s + 2, total), total

    @property
    def creation(self) -> bytes:
        """The code that makes it: the committed one, and its terms."""
        words = (self.safe, self.executor, self.until_s, self.period_s, list(self.lines))
        return verify.artifact(NAME).creation + encode(_CONSTRUCTOR, words)

    @property
    def address(self) -> str:
        """Where the factory puts it for that Safe, and for nobody else; EIP-1014 binds it to code and terms."""
        salt = bytes(12) + bytes.fromhex(self.safe[2:])
        factory = bytes.fromhex(verify.factory_address(NAME)[2:])
        return str(to_checksum_address(keccak(b"\xff" + factory + salt + keccak(self.creation))[12:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Enabled:
    """A module that a Safe has."""

    module: str
    code: bytes
    terms: Renewal | None
    """What it says of itself; None where it says nothing that such a module would."""

    @property
    def ours(self) -> bool:
        """Whether it is this module, or says so."""
        return self.terms is not None or not self._code_differs

    @property
    def wrong(self) -> str:
        """Why it is not proven to be the committed module with those terms; empty when it is."""
        if self._code_differs:
            return self._code_differs
        if self.terms is None:
            return "it does not tell its terms"
        if self.module.lower() != self.terms.address.lower():
            return f"UNPROVEN: our factory puts one of these terms at {self.terms.address}"
        return ""

    @property
    def _code_differs(self) -> str:
        return verify.differs(self.code, verify.artifact(NAME), "the module")

    def feeds(self, executor: str) -> bool:
        """Whether it says that it renews allowances to that Executor."""
        return self.terms is not None and self.terms.executor.lower() == executor.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The modules of one owner."""

    rows: tuple[Enabled, ...] = ()
    """In the Safe's order."""
    unread: str = ""
    """Why these may not be all; empty when they are."""
    safe: bool = True
    """Whether the owner answers as a Safe does."""

    def adding_up(self, now_s: int) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """(Executor, token, modules) of what more than one of them still renews, on the Safe where they stand."""
        found = dict[tuple[str, str], list[str]]()
        for row in self.rows:
            if row.terms is None or row.terms.over(now_s):
                continue
            for token, _ in row.terms.lines:
                found.setdefault((row.terms.executor.lower(), token.lower()), []).append(row.module)
        return tuple((*key, tuple(many)) for key, many in found.items() if len(many) > 1)


def problems(wish: Renewal, now_s: int, names: Mapping[str, str]) -> tuple[str, ...]:
    """What the constructor would refuse of ``wish``, by the option that says it; ``names``: token -> option."""
    found = list[str]()
    if not now_s < wish.until_s <= now_s + TERM_S_MAX:
        found.append(f"--until {day(wish.until_s)}: a module ends between now and a year from now")
    elif not PERIOD_S_MIN <= wish.period_s <= wish.until_s - now_s:
        found.append(
            f"--period {wish.period_s / HOUR_S:g}: hours between two renewals are at least 1, and not more than are "
            "left until --until"
        )
    if not 0 < len(wish.lines) <= LINES_MAX:
        found.append(f"--module: renews 1 to {LINES_MAX} tokens, named by --amount and --reserve")
    for token, units in wish.lines:
        if not 0 < units <= UINT112_MAX:
            why = "nothing would be renewed" if not units else "an allowance without limit bounds nothing"
            found.append(f"{names[token]}: {why}; name what a rescue needs")
    return tuple(found)


def modules_call(safe: str) -> Call:
    """Asks a Safe for its modules."""
    return Call(target=safe, data=PAGE + encode(["address", "uint256"], [HEAD, MODULES_MAX]))


def modules(words: Words, i: int) -> tuple[str, ...] | None:
    """The modules that call ``i`` answered, in the Safe's order; None where it did not answer as a Safe does."""
    if not words.ok[i] or words.count[i] < 3:
        return None
    many = words.uint(i, 2)
    if many > MODULES_MAX or words.count[i] < 3 + many:
        return None
    return tuple(_address(words.uint(i, 3 + k)) for k in range(many))


def more(words: Words, i: int) -> bool:
    """Whether the Safe has more modules than it told in call ``i``, which ``modules`` could read."""
    return words.uint(i, 1) > 1


def terms(words: Words, i: int) -> Renewal | None:
    """What call ``i`` of ``terms()`` answered; None for an answer of another shape."""
    if not words.ok[i] or words.count[i] < 6 or words.uint(i, 4) != 5 * 32:
        return None
    many = words.uint(i, 5)
    if not 0 < many <= LINES_MAX or words.count[i] < 6 + 2 * many:
        return None
    return Renewal(
        safe=_address(words.uint(i, 0)),
        executor=_address(words.uint(i, 1)),
        until_s=words.uint(i, 2),
        period_s=words.uint(i, 3),
        lines=tuple((_address(words.uint(i, 6 + 2 * k)), words.uint(i, 7 + 2 * k)) for k in range(many)),
    )


def allowance_call(line: Renewal, token: str) -> Call:
    """Asks for what stands of the allowance that it renews."""
    return Call(target=token, data=ALLOWANCE + encode(["address", "address"], [line.safe, line.executor]))


def ready_call(module: str, token: str) -> Call:
    """Asks from when that token may be renewed."""
    return Call(target=module, data=READY_AT + encode(["address"], [token]))


def renew_call(module: str, token: str) -> Call:
    """What anybody may send."""
    return Call(target=module, data=RENEW + encode(["address"], [token]))


def errors() -> dict[bytes, str]:
    """Selector of each refusal of ``renew`` -> its name and what it means."""
    known = {e.partition("(")[0]: e for e in verify.artifact(NAME).errors}
    return {selector(known[name]): f"{name}: {words}" for name, words in _ERRORS.items()}


def made(wish: Renewal, shown: Sequence[str]) -> Signing:
    """The deployment; ``shown``: each line in words."""
    factory = verify.factory_address(NAME)
    code = wish.creation
    return Signing(
        call=Call(target=factory, data=DEPLOY + encode(["bytes", VENUES], [code, _NO_VENUES])),
        signs=f"deploy(code 0x{keccak(code).hex()}, {len(code)} bytes; Safe {wish.safe}, Executor {wish.executor}, "
        f"until {wish.until_s}, period {wish.period_s}, {list(wish.lines)})",
        meaning=f"the module {NAME} will lie at {wish.address}; all that it can ever do is to have this Safe allow "
        f"{wish.executor} {' and '.join(shown)} again, once in {wish.period_s / HOUR_S:g} hours each, whoever asks, "
        f"until {day(wish.until_s)}, and not while the Executor is paused. UNAUDITED. It can never be changed",
    )


def enabling(wish: Renewal, lines: Sequence[str]) -> Signing:
    """The Safe's own yes, with all that it is a yes to; ``lines``: each token in words, with its bounds."""
    return Signing(
        call=Call(target=wish.safe, data=ENABLE + encode(["address"], [wish.address])),
        signs=f"enableModule({wish.address}) on the Safe itself",
        meaning=f"the Safe {wish.safe} carries out what this module sends, past its threshold; by its code that is "
        f"to allow the Executor {wish.executor} again, once in {wish.period_s / HOUR_S:g} hours each, whoever asks, "
        f"until {day(wish.until_s)}: {' and '.join(lines)}; nothing else. Its address proves code and terms",
    )


def allowing(wish: Renewal, token: str, units: int, shown: str) -> Signing:
    """The first allowance, or with 0 its end."""
    return Signing(
        call=_approve(wish, token, units),
        signs=f"approve({wish.executor}, {units}) on {token}",
        meaning=f"the Executor may take {shown}, as the module will renew it"
        if units
        else f"the Executor may take no {shown} any more",
    )


def clearing(wish: Renewal, token: str, shown: str) -> Signing:
    """What comes before another allowance than the one that stands."""
    return Signing(
        call=_approve(wish, token, 0),
        signs=f"approve({wish.executor}, 0) on {token}",
        meaning=f"{shown}; nothing first: some tokens change an allowance to nothing and from nothing only",
    )


def _approve(wish: Renewal, token: str, units: int) -> Call:
    return Call(target=token, data=APPROVE + encode(["address", "uint256"], [wish.executor, units]))


def disabling(safe: str, enabled: Sequence[str], ending: Sequence[str]) -> tuple[Signing, ...]:
    """What ends those modules, in the order of signing: each names the one before it as it stands by then."""
    left, signs = [HEAD, *enabled], list[Signing]()
    for module in ending:
        before = left[left.index(module) - 1]
        left.remove(module)
        signs.append(
            Signing(
                call=Call(target=safe, data=DISABLE + encode(["address", "address"], [before, module])),
                signs=f"disableModule({before}, {module}) on the Safe itself",
                meaning="this module renews nothing any more; while it stands anybody may bring back an allowance "
                "that you took away",
            )
        )
    return tuple(signs)


def _address(value: int) -> str:
    return str(to_checksum_address((value & (2**160 - 1)).to_bytes(20)))

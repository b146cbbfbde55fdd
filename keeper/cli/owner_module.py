"""The module of a Safe that owns an Executor: what enables it, what takes it back, and whether it is what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.cli.owner_grant import Wanted
    from keeper.cli.owner_place import Placed
    from keeper.config import Settings
    from keeper.executor.grants import Signing
    from keeper.executor.load import Read
    from keeper.executor.renewal import Enabled, Listed, Renewal
    from keeper.model import Token

AGAIN = "if the Safe's modules or allowances changed since, print it again"
"""Each call names what lies before it in the Safe's list as it was read."""
_FINAL = (", all in all: the most that can ever be sold", ", all in all", "; 0 revokes")
"""What an allowance says of itself (keeper.executor.grants) that is false where a module renews it."""
Code = Callable[[str], Awaitable[bytes]]
"""The code at an address, at one block. Raises Transient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a user wants to be renewed for one position."""

    label: str
    amounts: Mapping[str, str] = field(default_factory=dict)
    """Symbol -> whole tokens that may be sold, a period."""
    reserve: Mapping[str, str] = field(default_factory=dict)
    """Symbol -> whole tokens of the Safe's own that may be paid in, a period."""
    until_s: int
    period_s: int


async def wanted(settings: Settings, asked: Asked) -> Wanted:
    """What the owners of the Safe sign: deployment, the Safe's yes, first allowances; what is there is left out.

    Raises ConfigError (an owner that is no Safe, an amount of nothing or without limit, a term that the module would
    refuse, a token that is not listed, one that an older module renews and this one would not), Transient.
    """
    from keeper.cli.owner_grant import Wanted
    from keeper.cli.owner_place import placed, safe_of
    from keeper.errors import ConfigError
    from keeper.executor.renewal import Renewal, problems

    async with placed(settings, asked.label) as at:
        safe = await safe_of(at.site, at.owner, "--module")
        tokens = _lines(at, asked)
        wish = Renewal(
            safe=at.owner,
            executor=at.executor,
            until_s=asked.until_s,
            period_s=asked.period_s,
            lines=tuple((address, units) for address, (_, units, _) in tokens.items()),
        )
        wrong = problems(
            wish, at.site.block.timestamp_s, {address: option for address, (_, _, option) in tokens.items()}
        )
        if wrong:
            raise ConfigError(wrong)
        signs, replaced = await _signings(at, wish, {address: row[0] for address, row in tokens.items()})
        return Wanted(
            chain_id=at.site.chain.chain_id,
            owner=at.owner,
            safe=safe,
            signings=signs,
            name="keeper: let a module renew allowances",
            notes=(
                *replaced,
                "keeper run does not renew by itself: `keeper renew` does, with a key of your own",
                "throw away every older file of this command that is not signed: two modules would add up",
                AGAIN,
            ),
        )


async def revoked(settings: Settings, label: str) -> Wanted:
    """What the owners of the Safe sign to end every such module of that Executor, and what it renewed.

    Raises ConfigError, Transient.
    """
    from keeper.cli.owner_grant import Wanted
    from keeper.cli.owner_place import placed, safe_of

    async with placed(settings, label) as at:
        safe = await safe_of(at.site, at.owner, "--module")
        signs, remains = await ending(at, frozenset())
        return Wanted(
            chain_id=at.site.chain.chain_id,
            owner=at.owner,
            safe=safe,
            signings=signs,
            remains=remains,
            name="keeper: take the module back",
            notes=(AGAIN,) if signs else (),
        )


async def ending(at: Placed, done: frozenset[str]) -> tuple[tuple[Signing, ...], tuple[str, ...]]:
    """(What disables every module that renews to that Executor and takes its allowances away, what remains).

    An allowance is taken away whatever stands now: until the module is disabled anybody may renew it. ``done``: the
    tokens whose allowance is taken away besides. Raises Transient.
    """
    from keeper.executor.renewal import allowance_call, allowing, disabling

    found = await listed(at)
    ours = [row for row in found.rows if row.feeds(at.executor)]
    signs = list(disabling(at.owner, [r.module for r in found.rows], [r.module for r in ours]))
    again = ": this may not be all; print it again" if found.safe else ""
    remains = [found.unread + again] if found.unread else []
    tokens = {token: r.terms for r in ours if r.terms is not None for token, _ in r.terms.lines}
    rows = [(t, terms) for t, terms in tokens.items() if t.lower() not in {d.lower() for d in done}]
    if rows:
        words = await at.site.camera.reader(at.site.block)(tuple(allowance_call(x, t) for t, x in rows))
        for i, (token, terms) in enumerate(rows):
            if words.ok[i] and words.count[i]:
                signs.append(allowing(terms, token, 0, f"of {token}"))
            else:
                # in one batch with the rest a token that refuses would keep the module alive
                remains.append(
                    f"what {at.owner} allows {terms.executor} of {token}, which does not answer: "
                    f"approve({terms.executor}, 0) on it, by itself"
                )
    return tuple(signs), (*remains, *(_stays(r) for r in found.rows if not r.feeds(at.executor)))


def _stays(row: Enabled) -> str:
    """A module that is not this Executor's, in words."""
    if row.terms is None:
        return f"another module of the Safe, {row.module}, which may send whatever its code says"
    return (
        f"another module of the Safe, {row.module}, which says that it renews what {row.terms.safe} allows another "
        f"Executor, {row.terms.executor}: `keeper revoke --module` with that one's label ends it"
    )


async def marked(
    at: Placed, label: str, signs: tuple[Signing, ...]
) -> tuple[tuple[Signing, ...], tuple[str, ...]]:
    """(Those calls, with what an allowance means that a module renews; what is said of that). Raises Transient."""
    from dataclasses import replace

    from keeper.executor.grants import APPROVE

    found = await listed(at)
    modules = {
        token.lower(): (row.module, row.terms)
        for row in found.rows
        if row.terms is not None and row.feeds(at.executor) and not row.terms.over(at.site.block.timestamp_s)
        for token, _ in row.terms.lines
    }
    ends = f"`keeper revoke --executor {label} --module` ends that"
    shown: list[Signing] = []
    notes: dict[str, None] = {}
    for sign in signs:
        module, its = modules.get(sign.call.target.lower(), ("", None))
        if sign.call.data[:4] == APPROVE and its is not None:
            notes[
                f"what you grant here is renewed on top: a module of the Safe, {module}, lets the Executor take "
                f"{_renewed(at, its)}, whatever is approved: {ends}"
            ] = None
            now = sign.meaning
            for words in _FINAL:
                now = now.replace(words, "")
            sign = replace(sign, meaning=f"{now}, until a module renews it: {ends}, 0 does not")
        shown.append(sign)
    if found.unread and found.safe:
        notes[f"{found.unread}: one of them may renew these allowances"] = None
    return tuple(shown), tuple(notes)


async def enabled(owner: str, read: Read, code: Code) -> Listed:
    """The modules of a Safe; none of an owner without code. Raises Transient."""
    from keeper.executor.renewal import (
        MODULES_MAX,
        TERMS,
        Enabled,
        Listed,
        modules,
        modules_call,
        more,
        terms,
    )
    from keeper.executor.safe import VERSION
    from keeper.model import Call

    words = await read((modules_call(owner), Call(target=owner, data=VERSION)))
    safe = bool(words.ok[1] and words.count[1] >= 3)
    found = modules(words, 0)
    if found is None:
        there = await code(owner)
        why = f"the modules of {owner} could not be read"
        if not safe:
            why = f"{owner} does not answer as a Safe does: whom it lets act for it is not named here"
        return Listed(unread=why if there else "", safe=safe)
    many = more(words, 0)
    unread = f"{owner} has more than {MODULES_MAX} modules, of which the rest was not read" if many else ""
    if not found:
        return Listed(unread=unread, safe=safe)
    told = await read(tuple(Call(target=module, data=TERMS) for module in found))
    rows = tuple([Enabled(module=m, code=await code(m), terms=terms(told, i)) for i, m in enumerate(found)])
    return Listed(rows=rows, unread=unread, safe=safe)


async def listed(at: Placed) -> Listed:
    """The modules of that position's owner, at the site's block. Raises Transient."""

    async def code(address: str) -> bytes:
        told = await at.site.endpoints.request("eth_getCode", [address, hex(at.site.block.number)])
        return bytes.fromhex(str(told or "0x")[2:])

    return await enabled(at.owner, at.site.camera.reader(at.site.block), code)


def _lines(at: Placed, asked: Asked) -> dict[str, tuple[Token, int, str]]:
    """Contract whose allowance it is -> (token, units, the option that says it). Raises ConfigError."""
    from keeper.cli.owner_grant import units
    from keeper.cli.owner_place import receipts
    from keeper.errors import ConfigError

    own = receipts(at.venue, at.seat)
    sold, paid = units(at.venue, asked.amounts, "--amount"), units(at.venue, asked.reserve, "--reserve")
    if sold and at.seat.permit is not None:
        why = f"{at.seat.permit.name} is the whole grant there, and no allowance that could be renewed"
        raise ConfigError((f"--amount: {why}; name with --reserve what may be paid in",))
    lacks = [t.symbol for t in sold if t not in own]
    if lacks:
        raise ConfigError(tuple(f"--amount {s}: the protocol has no token of its own for it" for s in lacks))
    return {
        **{own[t]: (t, n, f"--amount {t.symbol}") for t, n in sold.items()},
        **{t.address: (t, n, f"--reserve {t.symbol}") for t, n in paid.items()},
    }


def _named(at: Placed) -> dict[str, tuple[Token, str]]:
    """Contract whose allowance it is, in lower case -> (token, the option that names it)."""
    from keeper.cli.owner_place import receipts

    own = {a.lower(): (t, f"--amount {t.symbol}") for t, a in receipts(at.venue, at.seat).items()}
    return {t.address.lower(): (t, f"--reserve {t.symbol}") for t in at.venue.tokens} | own


def _renewed(at: Placed, terms: Renewal) -> str:
    """What a module renews, how often and until when, in words."""
    from keeper.executor.grants import day
    from keeper.executor.renewal import HOUR_S

    named = _named(at)
    rows = [
        _shown(named[token.lower()][0], token, units)
        if token.lower() in named
        else f"{units} units of {token}"
        for token, units in terms.lines
    ]
    return f"{' and '.join(rows)}, once in {terms.period_s / HOUR_S:g} hours each, until {day(terms.until_s)}"


def _lost(at: Placed, wish: Renewal, older: Sequence[Enabled]) -> tuple[str, ...]:
    """What an older module still renews and the new one would not, with what to type."""
    from keeper.units import decimal_text

    kept = {token.lower() for token, _ in wish.lines}
    named, told = _named(at), list[str]()
    for row in older:
        if row.terms is None or row.terms.over(at.site.block.timestamp_s):
            continue
        for token, units in row.terms.lines:
            if token.lower() in kept:
                continue
            again = ""
            if token.lower() in named:
                its, option = named[token.lower()]
                again = f"name it again ({option}={decimal_text(units, its.decimals)}), or "
            told.append(
                f"--module: module {row.module}, which this one would replace, renews {token} and this one does not: "
                f"{again}sign `keeper revoke --executor {at.guarded.label} --module` first to end it"
            )
    return tuple(dict.fromkeys(told))


async def _signings(
    at: Placed, wish: Renewal, tokens: Mapping[str, Token]
) -> tuple[tuple[Signing, ...], tuple[str, ...]]:
    """(In the order of signing, what is said of a module that is replaced). Raises ConfigError, Transient."""
    from keeper.cli.owner_place import code_at
    from keeper.errors import ConfigError
    from keeper.executor import renewal, verify
    from keeper.executor.deploying import _factory as factory_signing

    found = await listed(at)
    if found.unread:
        raise ConfigError((f"--module: {found.unread}: another may renew the same, and two would add up",))
    older = [r for r in found.rows if r.feeds(at.executor) and r.module != wish.address]
    if lost := _lost(at, wish, older):
        raise ConfigError(lost)
    enabled = [r.module for r in found.rows]
    shown = {address: _shown(tokens[address], address, units) for address, units in wish.lines}
    there = await code_at(at.site, wish.address)
    factory = await code_at(at.site, verify.factory_address(renewal.NAME))
    week, total = wish.times(at.site.block.timestamp_s, there=there)
    bounds = [
        f"{shown[a]} ({a}: at most {_number(tokens[a], units * week)} in any week, "
        f"{_number(tokens[a], units * total)} until the end)"
        for a, units in wish.lines
    ]
    signs = (
        # two modules would add up
        *renewal.disabling(at.owner, enabled, [r.module for r in older]),
        *([] if there or factory else [factory_signing(renewal.NAME)]),
        *([] if there else [renewal.made(wish, tuple(shown.values()))]),
        *([] if wish.address in enabled else [renewal.enabling(wish, bounds)]),
        *await _allowances(at, wish, tokens, older),
    )
    return signs, tuple(
        f"ends module {r.module}, in whose place this one comes; it renewed {_renewed(at, r.terms)}"
        for r in older
        if r.terms is not None
    )


async def _allowances(
    at: Placed, wish: Renewal, tokens: Mapping[str, Token], older: Sequence[Enabled]
) -> tuple[Signing, ...]:
    """The first allowances, by way of nothing where something stands or may stand by then. Raises Transient."""
    from keeper.executor import renewal

    # until it is disabled anybody may have an older module renew: what stands now may not be what stands then
    moves = {token.lower() for r in older if r.terms is not None for token, _ in r.terms.lines}
    read = at.site.camera.reader(at.site.block)
    words = await read(tuple(renewal.allowance_call(wish, address) for address, _ in wish.lines))
    signs: list[Signing] = []
    for i, (address, units) in enumerate(wish.lines):
        now, token = words.uint(i), tokens[address]
        if now == units and address.lower() not in moves:
            continue
        told = f"now allowed {_number(token, now)}, will be {_number(token, units)}"
        if now or address.lower() in moves:
            signs.append(renewal.clearing(wish, address, told))
        shown = _shown(token, address, units) + (f" ({told})" if now > units else "")
        signs.append(renewal.allowing(wish, address, units, shown))
    return tuple(signs)


def _shown(token: Token, address: str, units: int) -> str:
    return f"{_number(token, units)} {token.symbol} " + (
        "from the Safe" if token.address == address else "out of the position"
    )


def _number(token: Token, units: int) -> str:
    from keeper.units import decimal_text

    return "without limit" if units >= 2**128 else decimal_text(units, token.decimals)

"""The module of a Safe that owns an Executor: what enables it, what takes it back, and whether it is what it says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keeper.cli.owner_grant import Wanted
    from keeper.cli.owner_place import Placed
    from keeper.config import Settings
    from keeper.executor.grants import Signing
    from keeper.executor.load import Read
    from keeper.executor.renewal import Enabled, Renewal
    from keeper.model import Token

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
    refuse, a token that is not listed), Transient.
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
        return Wanted(
            chain_id=at.site.chain.chain_id,
            owner=at.owner,
            safe=safe,
            signings=await _signings(at, wish, {address: row[0] for address, row in tokens.items()}),
            name="keeper: let a module renew allowances",
            notes=("keeper run does not renew by itself: `keeper renew` does, with a key of your own",),
        )


async def revoked(settings: Settings, label: str) -> Wanted:
    """What the owners of the Safe sign to end every such module of that Executor, and what it renewed.

    Raises ConfigError, Transient.
    """
    from keeper.cli.owner_grant import Wanted
    from keeper.cli.owner_place import placed, safe_of

    async with placed(settings, label) as at:
        safe = await safe_of(at.site, at.owner, "--module")
        ended = await ending(at)
        return Wanted(
            chain_id=at.site.chain.chain_id,
            owner=at.owner,
            safe=safe,
            signings=(*ended, *await forbidding(at, frozenset())),
            remains=await strangers(at),
            name="keeper: take the module back",
        )


async def ending(at: Placed) -> tuple[Signing, ...]:
    """What disables every module that renews allowances to that Executor; nothing without one. Raises Transient."""
    from keeper.executor.renewal import disabling

    rows = await _at(at)
    return disabling(at.owner, [r.module for r in rows], [r.module for r in rows if _renews(r, at)])


async def forbidding(at: Placed, done: frozenset[str]) -> tuple[Signing, ...]:
    """An allowance of nothing for what those modules renew and still stands, ``done`` left out. Raises Transient."""
    from keeper.executor.renewal import allowance_call, allowing

    found = {
        token: r.terms for r in await _at(at) if r.terms and _renews(r, at) for token, _ in r.terms.lines
    }
    rows = [(token, terms) for token, terms in found.items() if token not in done]
    if not rows:
        return ()
    words = await at.site.camera.reader(at.site.block)(tuple(allowance_call(t, token) for token, t in rows))
    return tuple(allowing(t, token, 0, f"of {token}") for i, (token, t) in enumerate(rows) if words.uint(i))


async def strangers(at: Placed) -> tuple[str, ...]:
    """The Safe's other modules, in words. Raises Transient."""
    return tuple(
        f"another module of the Safe, {r.module}, which may send whatever its code says"
        for r in await _at(at)
        if not _renews(r, at)
    )


async def enabled(safe: str, read: Read, code: Code) -> tuple[Enabled, ...]:
    """Every module of a Safe, in its order; none of an owner that is no Safe. Raises Transient."""
    from keeper.executor.renewal import TERMS, Enabled, modules, modules_call, terms
    from keeper.model import Call

    found = modules(await read((modules_call(safe),)), 0)
    if not found:
        return ()
    told = await read(tuple(Call(target=module, data=TERMS) for module in found))
    return tuple([Enabled(module=m, code=await code(m), terms=terms(told, i)) for i, m in enumerate(found)])


async def _at(at: Placed) -> tuple[Enabled, ...]:
    async def code(address: str) -> bytes:
        told = await at.site.endpoints.request("eth_getCode", [address, hex(at.site.block.number)])
        return bytes.fromhex(str(told or "0x")[2:])

    return await enabled(at.owner, at.site.camera.reader(at.site.block), code)


def _renews(row: Enabled, at: Placed) -> bool:
    """Whether a module says that it renews allowances to this Executor: what is said is ended, proven or not."""
    return row.terms is not None and row.terms.executor.lower() == at.executor.lower()


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


async def _signings(at: Placed, wish: Renewal, tokens: Mapping[str, Token]) -> tuple[Signing, ...]:
    """In the order of signing. Raises Transient."""
    from keeper.cli.owner_place import code_at
    from keeper.executor import renewal, verify
    from keeper.executor.deploying import _factory as factory_signing
    from keeper.units import decimal_text

    rows = await _at(at)
    others = [r.module for r in rows if _renews(r, at) and r.module != wish.address]
    shown = {
        address: f"{decimal_text(units, tokens[address].decimals)} {tokens[address].symbol} "
        + ("from the Safe" if tokens[address].address == address else "out of the position")
        for address, units in wish.lines
    }
    read = at.site.camera.reader(at.site.block)
    words = await read(tuple(renewal.allowance_call(wish, address) for address, _ in wish.lines))
    there = await code_at(at.site, wish.address)
    factory = await code_at(at.site, verify.factory_address(renewal.NAME))
    return (
        # two modules would add up
        *renewal.disabling(at.owner, [r.module for r in rows], others),
        *([] if there or factory else [factory_signing(renewal.NAME)]),
        *([] if there else [renewal.made(wish, tuple(shown.values()))]),
        *([] if wish.address in [r.module for r in rows] else [renewal.enabling(wish)]),
        *(
            renewal.allowing(wish, address, units, shown[address])
            for i, (address, units) in enumerate(wish.lines)
            if words.uint(i) != units
        ),
    )

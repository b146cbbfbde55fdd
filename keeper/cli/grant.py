"""``keeper grant``: the finite approvals from the keeper's wallet to the venues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keeper.cli import arguments, owner_options

if TYPE_CHECKING:
    from pathlib import Path

    from keeper.config import Settings

HEADERS = ("token", "amount", "now allowed", "signs", "transaction")


def command(
    amount: owner_options.Amount = None,
    send: owner_options.Send = False,
    executor: owner_options.Executor = None,
    safe: owner_options.Safe = False,
    reserve: owner_options.Reserve = None,
    share: owner_options.Share = 100.0,
    bot: owner_options.Bot = None,
    guardian: owner_options.Guardian = "",
    until: owner_options.Until = "",
    slippage: owner_options.Slippage = 1.0,
    deploy: owner_options.Deploy = False,
    announce: owner_options.Announce = False,
    subaccount: owner_options.Subaccount = None,
    actions: owner_options.Actions = 50,
    stop: owner_options.Stop = False,
    module: owner_options.Module = False,
    period: owner_options.Period = None,
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Print or send the wallet's approvals.

    Shows the ERC-20 approvals that rescues need, as they would be signed; --send sends them. Amounts are finite on
    purpose: an approval is the most a broken venue could take.

    With --executor, what the position's owner signs instead: the Executor's terms, a finite allowance of the
    collateral named by --amount, and what --reserve lets it pay in. The keeper has no key for that and sends nothing.
    Caps that are not named stay. From an hour after the deployment on, what loosens is announced a day before: sign
    what --announce prints, and a day later the same command without it.
    With --module, of a Safe: what enables a module that renews --amount and --reserve, once in --period hours.
    With --subaccount, what the owner of a GMX position signs, so that the keeper may order for him; with --deploy
    through an Executor, which bounds each order: --amount USD=SIZE closed, USDC=MARGIN added in a day at the most;
    with --stop, the reduce-only stop that he leaves on the venue himself, which an Executor does not place.

    Example: keeper grant --amount USDC=5000 --amount WETH=2.5
    """
    from keeper.config import load

    owner, plain = (
        owner_options.read(share, bot or [], guardian, until, slippage),
        (share, slippage) == (100.0, 1.0),
    )
    if module or period is not None:
        others = (send, bot, guardian, deploy, announce, subaccount, stop, not plain)
        _renewing(config, (module, executor, period), (amount, reserve, owner["until_s"]), others)
        return
    if subaccount is not None:
        through = (amount or [], guardian, announce) if deploy else None
        if _subaccounted(config, subaccount, (announce, stop), [deploy, until, amount, guardian], json=json):
            _ordering(load(config), (subaccount, actions, owner["until_s"]), through, json=json)
        return
    owners = (reserve, bot, guardian, until, deploy, announce, safe, not plain)
    _together(executor, (send, stop), owners)
    wanted = amounts(amount or [], needed=executor is None or not (reserve or announce))
    settings = load(config)  # before the slow imports: a wrong file is told at once
    if executor is None:
        _approving(settings, wanted, send, json=json)
        return
    _owning(settings, (executor, wanted, reserve or [], (deploy, announce, safe)), owner, json=json)


def _owning(
    settings: Settings,
    asked: tuple[str, dict[str, str], list[str], tuple[bool, bool, bool]],
    owner: owner_options.Roles,
    *,
    json: bool,
) -> None:
    """What the owner of an Executor signs; ``asked``: its position, what may be sold, what may be paid in, and
    whether it is put there first, announced, and for a Safe."""
    from keeper.cli import kernels, owner_grant
    from keeper.cli.endings import drive

    kernels.prepare()
    label, sold, paid, (deploy, announce, safe) = asked
    wish = owner_grant.Asked(
        label=label,
        amounts=sold,
        reserve=amounts(paid, "--reserve", needed=False),
        **owner,
        deploy=deploy,
        announce=announce,
        safe=safe,
    )
    owner_grant.show(drive(owner_grant.wanted(settings, wish)), json=json)


def _approving(settings: Settings, wanted: dict[str, str], send: bool, *, json: bool) -> None:
    """The wallet's own approvals."""
    from keeper.cli import kernels
    from keeper.cli.endings import drive

    kernels.prepare()
    from keeper.granting import grant  # slow: the kernels are told of before it

    _show(drive(grant(settings, wanted, send)), json=json)


def _ordering(
    settings: Settings,
    asked: tuple[str, int, int | None],
    through: tuple[list[str], str, bool] | None,
    *,
    json: bool,
) -> None:
    """What lets the keeper order for the owner of a GMX position; ``through``: an Executor's amounts and
    guardian, and whether only announcements are printed."""
    from keeper.cli import kernels, perp_grant, subaccount
    from keeper.cli.endings import drive

    kernels.prepare()
    if through is None:
        subaccount.show(drive(subaccount.wanted(settings, *asked)), json=json)
        return
    label, actions, until_s = asked
    wish = perp_grant.Asked(
        label=label,
        actions=actions,
        until_s=perp_grant.needed(until_s),
        amounts=amounts(through[0]),
        guardian=through[1],
        announce=through[2],
    )
    perp_grant.show(drive(perp_grant.wanted(settings, wish)), json=json)


def _renewing(
    config: Path,
    asked: tuple[bool, str | None, float | None],
    what: tuple[list[str] | None, list[str] | None, int | None],
    others: tuple[object, ...],
) -> None:
    """A Safe's module; ``asked``: whether, of which position, hours; ``what``: sold, paid in, until. Exit 2."""
    from keeper.cli import kernels, owner_grant, owner_module
    from keeper.cli.endings import drive, usage
    from keeper.config import load

    (module, label, hours), (sold, paid, until_s) = asked, what
    if not module:
        raise usage("--period", "goes with --module")
    if label is None:
        raise usage("--module", "goes with --executor LABEL: it renews what that Executor may take")
    if any(others):
        raise usage(
            "--module", "goes with --amount, --reserve, --period and --until alone: grant the rest first"
        )
    if until_s is None:
        raise usage("--module", "needs --until, within a year: a module that outlives its use is a door")
    period_s = 24 * 3_600 if hours is None else hours * 3_600
    if not 0 < period_s < 2**32:
        raise usage("--period", f"{hours:g} is no number of hours")
    wish = owner_module.Asked(
        label=label,
        amounts=amounts(sold or [], needed=not paid),
        reserve=amounts(paid or [], "--reserve", needed=False),
        until_s=until_s,
        period_s=round(period_s),
    )
    settings = load(config)
    kernels.prepare()
    owner_grant.show(drive(owner_module.wanted(settings, wish)), json=True)


def _subaccounted(
    config: Path, label: str, asked: tuple[bool, bool], others: list[object], *, json: bool
) -> bool:
    """Whether a grant is asked for, and not the owner's own stop, which is printed; ``asked``: --announce, --stop.

    Exit 2 for what does not go together.
    """
    from keeper.cli.endings import usage

    (announce, stop), deploy = asked, others[0]
    if announce and not deploy:
        raise usage("--announce", "goes with --deploy: GMX's own grant to a subaccount is not announced")
    if stop:
        _stopping(config, label, others, json=json)
    return not stop


def _stopping(config: Path, label: str, others: list[object], *, json: bool) -> None:
    """The owner's own stop. Exit 2 with what belongs to a grant."""
    from keeper.cli import kernels, perp_stop, subaccount
    from keeper.cli.endings import drive, usage
    from keeper.config import load

    if any(others):
        raise usage("--stop", "stands alone: it is an order of the owner's, and grants nothing")
    settings = load(config)
    kernels.prepare()
    subaccount.show(drive(perp_stop.wanted(settings, label)), json=json, headers=perp_stop.HEADERS)


def _together(executor: str | None, others: tuple[bool, bool], owners: tuple[object, ...]) -> None:
    """Options that do not go together; ``others``: --send, --stop. Exit 2."""
    from keeper.cli.endings import usage

    send, stop = others
    if stop:
        raise usage("--stop", "goes with --subaccount LABEL: it is a GMX position's")
    if executor is None and any(owners):
        raise usage(
            "--executor",
            "LABEL goes with --safe, --reserve, --share, --bot, --guardian, --until, --slippage and --deploy",
        )
    if executor is not None and send:
        raise usage("--send", "is for the keeper's own wallet; the owner signs what --executor prints")


def _show(granted: tuple[dict[str, object], ...], *, json: bool) -> None:
    from keeper.cli import table

    if json:
        print(table.document({"approvals": [dict(g) for g in granted]}))
    else:
        table.show(HEADERS, [tuple(str(g.get(h, "-")) for h in HEADERS) for g in granted])


def amounts(given: list[str], option: str = "--amount", *, needed: bool = True) -> dict[str, str]:
    """``["USDC=5000"]`` as ``{"USDC": "5000"}``; finite, not negative (0 revokes), each once. Exit 2."""
    from decimal import Decimal, InvalidOperation

    from keeper.cli.endings import usage

    if not given and needed:
        raise usage(option, f"is required, e.g. {option} USDC=5000")
    out: dict[str, str] = {}
    for text in given:
        token, _, number = text.partition("=")
        try:
            value = Decimal(number)
        except InvalidOperation:
            value = Decimal("NaN")
        if not token or not value.is_finite() or value < 0:
            raise usage(option, f'"{text}" is not TOKEN=NUMBER with a number of whole tokens, e.g. USDC=5000')
        if token in out:
            raise usage(option, f'"{text}" names {token} a second time')
        out[token] = number
    return out

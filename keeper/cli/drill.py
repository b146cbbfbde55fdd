"""``keeper drill``: your position on a fork of its chain, through a fall, without a keeper and with the real one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from anvil.drill.home import Asked
    from anvil.drill.outcome import Outcome
    from anvil.drill.run import Fall, Weather

HASH = re.compile(r"0x[0-9a-fA-F]{64}")


Account = Annotated[str | None, typer.Argument(help="The account; with --liquidation it may be left out.")]
Endpoint = Annotated[str, typer.Option("--rpc", help="An http(s) JSON-RPC endpoint of the chain.")]
ShockOption = Annotated[
    str, typer.Option("--shock", help="A named shock, moves as ETH=-30, or a CSV of steps (block,ETH,...).")
]
Liquidated = Annotated[
    str, typer.Option("--liquidation", metavar="TXHASH", help="Run a past liquidation again instead.")
]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Your configuration; without, one is proposed.")
]
Label = Annotated[str | None, typer.Option("--label", help="Which position of the configuration.")]
Provider = Annotated[
    str | None, typer.Option("--provider", help="PoolAddressesProvider of a market that is not known.")
]
MarketId = Annotated[
    str | None, typer.Option("--market", help="Id of a Morpho Blue market; --provider is its contract.")
]
ForkBlock = Annotated[int | None, typer.Option("--block", help="Fork here instead of at the newest block.")]
Before = Annotated[int, typer.Option("--before", help="Blocks before the liquidation to begin at.")]
Updates = Annotated[int, typer.Option("--updates", help="Oracle updates that a shock is spread over.")]
Gas = Annotated[int, typer.Option("--gas", help="Base fee, times what it is at the fork.")]
Thin = Annotated[int, typer.Option("--thin", help="Uniswap pools keep one part in so many of their depth.")]
Gap = Annotated[float | None, typer.Option("--gap", help="Per cent that one single update must not break.")]
Precision = Annotated[
    float, typer.Option("--precision", help="Per cent to which the largest single update is found.")
]
Html = Annotated[Path | None, typer.Option("--html", help="Write the drill as one self-contained page.")]
Keep = Annotated[
    Path | None, typer.Option("--keep", help="Leave the drilled keeper's log and journal in this new folder.")
]


def command(
    address: Account = None,
    rpc: Endpoint = "",
    shock: ShockOption = "",
    liquidation: Liquidated = "",
    config: Config = None,
    label: Label = None,
    provider: Provider = None,
    market: MarketId = None,
    block: ForkBlock = None,
    before: Before = 25,
    updates: Updates = 10,
    gas: Gas = 20,
    thin: Thin = 4,
    gap: Gap = None,
    precision: Precision = 0.5,
    html: Html = None,
    keep: Keep = None,
    json: arguments.Json = False,
) -> None:
    """Prove on a fork of the chain what the keeper would do for a position.

    Forks the chain locally, puts programmable feeds behind the market's oracle, stands in for the owner where
    something is not granted yet (and says so), and runs the fall twice from one snapshot: without a keeper, and with
    the real daemon, its signer and Executor, with dear gas, thinned pools and a dead endpoint; a competing
    liquidator acts in both. Needs a checkout with anvil, no key of yours, and sends nothing to the chain. Exits
    with 1 when the guarded position is liquidated, or survives less than --gap in one update.

    Example: keeper drill 0xYourAddress --rpc https://your-endpoint --shock 'May 2021' --config keeper.toml
    """
    _checked(updates=updates, before=before, gas=gas, thin=thin)
    _shares(gap, precision)
    url = arguments.http_url("--rpc", rpc or _required("--rpc"))
    account = "" if address is None else arguments.address("ADDRESS", address)
    place = None if provider is None else arguments.address("--provider", provider)
    id = None if market is None else arguments.market_id("--market", market)
    _one_fall(address, shock, liquidation, config, (provider, market))
    from dataclasses import replace

    fall = _ready(shock, liquidation, before, updates)
    from anvil.drill.home import Asked
    from anvil.drill.run import Weather

    asked = Asked(account=account, config=config, label=label, provider=place, market=id)
    weather = Weather(gas=gas, thin=thin, block=block, precision=precision / 100.0)
    with _folder(keep) as folder:
        found = _run(asked, url, fall, weather, folder)
    found = replace(found, stated_gap=None if gap is None else gap / 100.0)
    show(found, html, json=json)
    if found.passed and config is not None:
        _kept(config, found)
    raise typer.Exit(int(not found.passed))


def show(found: Outcome, html: Path | None, *, json: bool) -> None:
    """Print it, and write the page."""
    from anvil.drill import outcome, page
    from keeper.cli import subject, table
    from keeper.cli.endings import say

    if html is not None:
        try:
            html.write_text(page.html(found), encoding="utf-8")
        except OSError as error:
            say(f"--html {html}: not written: {error.strerror}")
        else:
            say(f"written: {html}")
    if json:
        print(table.document(outcome.document(found)))
        return
    print(f"{found.shock}: {found.account} on {found.venue}")
    table.show(outcome.HEADERS, outcome.rows(found))
    for line in outcome.said(found):
        subject.say(line)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """A folder that ends with the drill, or the new one that the user named. Exit 2 where that one is there."""
    import tempfile

    from keeper.cli.endings import usage

    if keep is None:
        with tempfile.TemporaryDirectory(prefix="keeper-drill-") as folder:
            yield Path(folder)
        return
    try:
        keep.mkdir(mode=0o700)
    except OSError as error:
        raise usage("--keep", f"{keep} cannot be made: {error.strerror}") from None
    yield keep.resolve()


def _run(asked: Asked, url: str, fall: Fall, weather: Weather, folder: Path) -> Outcome:
    """The drill; what stops it becomes this command's own error."""
    from anvil.client import Reverted
    from anvil.drill.course import CourseError
    from anvil.drill.run import drill
    from anvil.guard import GuardFailed
    from anvil.node import AnvilFailed
    from anvil.tools import ToolMissing
    from keeper.cli.endings import say, usage
    from keeper.errors import EXIT_FINDINGS, EXIT_UNREACHABLE

    try:
        return drill(asked, url, fall, weather, (folder, _clock()))
    except CourseError as error:
        raise usage("--shock", str(error)) from None
    except (ToolMissing, AnvilFailed) as error:
        say(f"{error}")
        raise typer.Exit(EXIT_UNREACHABLE) from None
    except GuardFailed as error:
        say(f"the drilled daemon failed, and so did the drill: {error}")
        raise typer.Exit(EXIT_FINDINGS) from None
    except Reverted as error:
        say(f"the fork refused what the drill set up: {error}")
        raise typer.Exit(EXIT_FINDINGS) from None


def _clock() -> Callable[[str], None]:
    """Progress on stderr, with the seconds since the start."""
    import sys
    import time

    begun_s = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun_s:6.1f} s] {text}", file=sys.stderr, flush=True)

    return say


def _ready(shock: str, liquidation: str, before: int, updates: int) -> Fall:
    """The fall, once the proving ground can be imported. Exit 2 for a shock that is none, 69 without a checkout."""
    from keeper.cli import kernels
    from keeper.cli.demo import proving_ground

    proving_ground("drill", packages=False)
    fall = _fall(shock, liquidation, before, updates)
    kernels.prepare()
    return fall


def _fall(shock: str, liquidation: str, before: int, updates: int) -> Fall:
    """Exit 2 for a shock that is none."""
    from anvil.drill import course
    from anvil.drill.run import Fall
    from keeper.cli.cascade import shock_of
    from keeper.cli.endings import usage

    if liquidation:
        return Fall(liquidation=liquidation.lower(), before=before)
    if shock.endswith(".csv") or Path(shock).is_file():
        try:
            return Fall(course=course.read(Path(shock)))
        except course.CourseError as error:
            raise usage("--shock", str(error)) from None
    named = shock_of(shock)
    return Fall(course=course.spread(named, updates), shock=named)


def _checked(*, updates: int, before: int, gas: int, thin: int) -> None:
    """Exit 2."""
    from keeper.cli.endings import usage

    for option, value, least, most in (
        ("--updates", updates, 1, 500),
        ("--before", before, 1, 500),
        ("--gas", gas, 1, 1_000),
        ("--thin", thin, 1, 1_000),
    ):
        if not least <= value <= most:
            raise usage(option, f"{value} is not from {least} to {most}")


def _required(option: str) -> str:
    """Exit 2."""
    from keeper.cli.endings import usage

    raise usage(option, "is required")


def _shares(gap: float | None, precision: float) -> None:
    """Exit 2."""
    from keeper.cli.endings import usage

    if gap is not None and not 0.0 < gap < 90.0:
        raise usage("--gap", f"{gap:g} is not above 0 and below 90 per cent")
    if not 0.05 <= precision <= 30.0:
        raise usage("--precision", f"{precision:g} is not from 0.05 to 30 per cent")


def _one_fall(
    address: str | None,
    shock: str,
    liquidation: str,
    config: Path | None,
    named: tuple[str | None, str | None],
) -> None:
    """Exit 2 unless the line names one fall and one position."""
    from keeper.cli.endings import usage

    if bool(shock) == bool(liquidation):
        raise usage("--shock", "give either --shock NAME or --liquidation TXHASH")
    if liquidation and not HASH.fullmatch(liquidation):
        raise usage("--liquidation", "is no transaction hash: write 0x and 64 hex digits")
    if address is None and not liquidation:
        raise usage("ADDRESS", "is required with --shock")
    if config is not None and any(named):
        raise usage(
            "--provider", "and --market are for a drill without --config, which names the market itself"
        )


def _kept(config: Path, found: Outcome) -> None:
    """Keep that this configuration has passed: `keeper arm` looks for it."""
    import time

    from keeper import drilled
    from keeper.cli.endings import say
    from keeper.config import load

    if not found.alone.liquidations:
        say("not kept as passed: without a keeper nobody was liquidated either; drill a worse fall")
        return
    settings = load(config)
    if settings.digest != found.digest:
        say(f"{config} was changed during the drill: it is not kept as passed")
        return
    mine = next(p for p in settings.positions if p.label == found.label)
    passed = drilled.Drilled(
        digest=settings.digest,
        position=drilled.name_of(settings, mine),
        shock=found.shock,
        largest_step=float(found.largest_step),
        at_s=time.time(),
    )
    try:
        drilled.keep(settings, passed)
    except OSError as error:
        say(f"{drilled.place(settings)}: the drill was passed and could not be kept: {error.strerror}")

"""``keeper executor verify``: whether the Executors named in the configuration are the committed code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.config import ChainSettings, Settings
    from keeper.executor.load import Read

HEADERS = ("label", "executor", "code", "owner", "bot", "routers", "verdict")


def command(
    act: Annotated[str, typer.Argument(metavar="verify", help="What to do: verify.")],
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Compare each Executor on chain with the code in this repository.

    Byte for byte, immutables apart; then whether it belongs to the guarded account, whether the keeper's wallet is
    one of its bots, and which configured routers its owner has not allowed. Exits with 1 when anything but those
    differs.

    Example: keeper executor verify --config keeper.toml
    """
    from keeper.cli import table
    from keeper.cli.endings import drive, usage
    from keeper.config import load
    from keeper.errors import EXIT_FINDINGS, EXIT_OK

    if act != "verify":
        raise usage(
            "verify", f'"{act}" is not something to do with an Executor; write: keeper executor verify'
        )
    rows = drive(verify(load(config)))
    if json:
        print(table.document({"executors": [dict(zip(HEADERS, row, strict=True)) for row in rows]}))
    elif rows:
        table.show(HEADERS, rows)
    else:
        print("no position names an executor")
    raise typer.Exit(EXIT_FINDINGS if any(row[-1] != "as committed" for row in rows) else EXIT_OK)


async def verify(settings: Settings) -> list[tuple[str, ...]]:
    """One row an Executor. Raises Transient."""
    from keeper.chain.endpoints import Endpoints
    from keeper.chain.head import latest
    from keeper.clock import SystemClock
    from keeper.daemon.camera import Camera
    from keeper.daemon.desks import identity

    rows: list[tuple[str, ...]] = []
    for chain in settings.chains:
        named = [p for p in settings.positions if p.executor and settings.venue(p.venue).chain == chain.name]
        if not named:
            continue
        endpoints = await Endpoints.open(chain, SystemClock(), lambda _: None)
        try:
            block = await latest(endpoints)
            read = Camera(chain, endpoints, None).reader(block)
            for p in named:
                assert p.executor is not None  # chosen by it
                found = await identity(p.executor, (endpoints, read, block), settings.wallet.address)
                wrong = found.code or ("" if found.owner == p.account else f"its owner is not {p.account}")
                wrong = wrong or ("" if found.bot_share_bps else "the keeper's wallet is no bot of it")
                share = f"{found.bot_share_bps / 100:g} % of each cap"
                code = found.code or "the committed Executor's"
                routers = "-" if found.code else await _routers(p.executor, chain, read)
                rows.append((p.label, p.executor, code, found.owner, share, routers, wrong or "as committed"))
        finally:
            await endpoints.close()
    return rows


async def _routers(executor: str, chain: ChainSettings, read: Read) -> str:
    """Which of the configured routers the owner has not allowed. Raises Transient."""
    from keeper.cli.owner_grant import named_routers
    from keeper.executor.read import ROUTER_ALLOWED
    from keeper.model import Call

    named = tuple(named_routers(chain))
    if not named:
        return "none configured"
    asked = tuple(
        Call(target=executor, data=ROUTER_ALLOWED + bytes.fromhex(r[2:]).rjust(32, b"\0")) for r in named
    )
    words = await read(asked)
    refused = [r for i, r in enumerate(named) if not words.uint(i)]
    return f"not allowed: {', '.join(refused)}" if refused else "allowed"

"""The whole drill: fork, take the oracle in hand, stand in for the owner, and run both ways from one snapshot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from anvil.client import Chain
from anvil.drill import course as courses
from anvil.drill import feeds, owner, past, pools, steps
from anvil.drill.course import Course
from anvil.drill.fork import Market, Purse, balance, native_usd
from anvil.drill.home import Asked, Body, Home, block_s, furnish, own_body, proposed_body
from anvil.drill.outcome import Outcome
from anvil.drill.play import AHEAD_S, Run, Scene, guarded, play
from anvil.drill.rival import Rival
from anvil.node import Anvil, AnvilFailed, AnvilSettings
from keeper.config import load
from keeper.daemon.wiring import chain_of, scan
from keeper.errors import ConfigError, Rejected, Transient
from keeper.model import Position, Shock, Token
from keeper.notify import log
from keeper.units import GWEI

HARDFORK = "prague"
"""The Executor needs transient storage, which a fork of an old block would not have."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """What happens: a course that is known, or a liquidation that its own is read from."""

    course: Course | None = None
    shock: Shock | None = None
    """Whose direction the largest single step is asked in; None: the course's worst update."""
    liquidation: str | None = None
    before: int = 25
    """Blocks before the liquidation at which the fork begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad the night is besides the prices."""

    gas: int = 20
    thin: int = 4
    precision: float = 0.005
    block: int | None = None


def drill(asked: Asked, url: str, fall: Fall, weather: Weather, at: tuple[Path, Say]) -> Outcome:
    """Run the drill in an empty folder. Raises ConfigError, Transient, CourseError, AnvilFailed, GuardFailed."""
    folder, say = at
    log.configure(json_lines=False, level=logging.CRITICAL)
    say("asking the endpoint")
    chain_id = asyncio.run(chain_of(url)).chain_id
    it = past.find(url, fall.liquidation, asked.account or None) if fall.liquidation else None
    if it is not None:
        asked = _of(asked, it)
        say(f"{it.account} was liquidated in block {it.block} on {it.kind} {it.provider}")
        weather = replace(weather, block=it.block - fall.before)
    where = "its newest block" if weather.block is None else f"block {weather.block}"
    say(f"forking chain {chain_id} at {where}")
    settings = AnvilSettings(
        fork_url=url, fork_block=weather.block, base_fee_wei=None, auto_impersonate=True, hardfork=HARDFORK
    )
    with _forked(settings) as node:
        chain = Chain(node.url)
        try:
            return _on_fork(chain, asked, fall, (weather, url, it), (folder, say))
        finally:
            chain.close()


def _of(asked: Asked, it: past.Liquidation) -> Asked:
    """Where the liquidated position stands, unless the user said it."""
    asked = replace(asked, account=it.account)
    if asked.config is not None or asked.provider is not None:
        return asked
    if it.kind == "compound_v3":
        return asked  # among the markets that are known, or named by a configuration
    return replace(asked, provider=it.provider, market=it.market)


def _forked(settings: AnvilSettings) -> Anvil:
    try:
        return Anvil(settings).start()
    except AnvilFailed as failed:
        raise Transient(f"--rpc: the fork did not start: {failed}") from failed


def _on_fork(
    chain: Chain,
    asked: Asked,
    fall: Fall,
    night: tuple[Weather, str, past.Liquidation | None],
    at: tuple[Path, Say],
) -> Outcome:
    (weather, url, it), (folder, say) = night, at
    try:
        body, home, market = _placed(chain, asked, folder)
        first, position = chain.block().number, _endangered(market)
    except Rejected as refused:
        why = f"the fork cannot be read ({refused}): does the endpoint serve states so old?"
        raise Transient(why) from refused
    settings = load(home.alone)
    say(f"{market.venue.id}: {position.id.account}, health {(position.health_wad or 0) / 1e18:.4f}")
    beside = tuple(t for t in market.venue.tokens if t.address == settings.chains[0].native_token)
    sources = feeds.found(chain, market.venue, position, beside)
    course = fall.course or past.course(url, _known(it), (market.venue, position), sources, first)
    shock = fall.shock or course.worst.shock
    symbols = sorted({h.amount.token.symbol for h in (*position.collateral, *position.debt)})
    name, log_move = courses.driver(shock, symbols)
    if not name:
        why = f"{shock.name}: moves none of what the position holds and owes ({', '.join(symbols)})"
        raise ConfigError((why,))
    say("standing in for the owner and the wallet")
    granted = owner.provide(chain, market, body, home)
    scene = _scene(chain, market, home, (granted.executor, sources), weather)
    told = (*body.told, *granted.told)
    if not native_usd(market.snapshot()):
        told = (
            *told,
            "no feed of this market prices the chain's native token: gas is not counted in the cost",
        )
    for line in told:
        say(line)
    alone, largest, kept = _nights(chain, scene, home, (course, shock, weather.precision), say)
    return Outcome(
        account=asked.account,
        venue=market.venue.id,
        shock=course.name,
        driver=name,
        rises=log_move > 0,
        alone=alone,
        guarded=kept,
        largest_step=largest,
        largest_update=courses.largest_update(course, symbols),
        gas_gwei=scene.base_fee_wei / GWEI,
        gas=weather.gas,
        thin=weather.thin,
        pools=len(scene.pools),
        block=first,
        told=told,
        position=str(position.id),
        label=body.label,
        digest=body.settings.digest if body.settings else None,
    )


def _nights(
    chain: Chain, scene: Scene, home: Home, fall: tuple[Course, Shock, float], say: Say
) -> tuple[Run, float, Run]:
    """One snapshot, three times: alone, in one update as large as can be survived, and guarded."""
    course, shock, precision = fall
    clean = chain.snapshot()
    say("alone: no keeper, a competing liquidator")
    chain.rpc("evm_setAutomine", False)
    alone = play(scene, course, wait=lambda block: None, said=say)
    chain.revert(clean)
    say("the largest single update that the keeper survives")
    chain.rpc("evm_setAutomine", False)
    largest = steps.largest(scene, home, shock, precision, say)
    say("guarded: the daemon, its signer, one dead endpoint")
    with guarded(scene, home) as guard:
        kept = play(scene, course, wait=guard.caught_up, said=say, ahead_s=AHEAD_S)
    return alone, largest, kept


def _placed(chain: Chain, asked: Asked, folder: Path) -> tuple[Body, Home, Market]:
    """The user's configuration (or a proposed one) moved to the fork. Raises ConfigError, Transient, Rejected."""
    if asked.config is not None:
        body = own_body(asked)
    else:
        body = proposed_body(asyncio.run(scan(asked.wish, chain.url)), asked.account)
    home = furnish(body, folder, chain.url)
    settings = load(home.alone)
    chain.rpc("anvil_setBlockTimestampInterval", block_s(settings))
    return body, home, Market(chain, settings.chains[0], settings.venues[0], asked.account)


def _endangered(market: Market) -> Position:
    """The position, which owes something and is not liquidatable yet. Raises ConfigError."""
    position = market.position()
    health = position.health_wad
    if not position.debt:
        raise ConfigError(
            (f"{position.id.account}: has no debt on {market.venue.id}: nothing can be liquidated",)
        )
    if health is not None and health < 10**18:
        why = f"is liquidatable at the block of the fork (health {health / 1e18:.4f}): a drill begins before that"
        raise ConfigError((f"{position.id.account}: {why}",))
    return position


def _known(it: past.Liquidation | None) -> past.Liquidation:
    assert it is not None  # the command asks for a shock or a liquidation
    return it


def _scene(
    chain: Chain,
    market: Market,
    home: Home,
    told: tuple[str | None, tuple[feeds.Feed, ...]],
    weather: Weather,
) -> Scene:
    """Feeds programmed, pools thinned, the competitor funded."""
    executor, sources = told
    settings, position = load(home.alone), market.position()
    feeds.program(chain, sources)
    held = {h.amount.token for h in (*position.collateral, *position.debt)}
    tokens = sorted(held | _owned(market, home.wallet), key=lambda t: t.address)
    quoter = settings.chains[0].uniswap_quoter
    thinned: tuple[pools.Pool, ...] = ()
    if quoter is not None and chain.has_code(quoter):
        factory = str(chain.call(quoter, "factory()(address)"))
        between = [t.address for t in held] + list(settings.chains[0].swap_via)
        thinned = pools.thinned(chain, factory, between, weather.thin)
    people = {home.wallet, position.owner, *([executor] if executor else [])}
    return Scene(
        chain=chain,
        market=market,
        feeds=sources,
        pools=thinned,
        rival=Rival(chain, market.venue, position),
        purse=Purse(wallet=home.wallet, accounts=tuple(sorted(people)), tokens=tuple(tokens)),
        base_fee_wei=max(chain.block().base_fee_wei, GWEI) * weather.gas,
    )


def _owned(market: Market, wallet: str) -> set[Token]:
    return {t for t in market.venue.tokens if balance(market.chain, t, wallet)}

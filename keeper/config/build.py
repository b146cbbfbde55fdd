"""Parsed tables -> Settings: each part by itself, then against the others; all problems at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path

from keeper.config import schema
from keeper.config.canary import canary_digest, canary_problems, canary_settings
from keeper.config.exchanges import ticker_problems
from keeper.config.files import Files
from keeper.config.limits import limit_of
from keeper.config.pairing import Known, PairSettings, hedge_keys, pair_problems, pair_settings
from keeper.config.parts import At, Parts, Row
from keeper.config.records import (
    AggregatorSettings,
    ChainSettings,
    EndpointSettings,
    PositionSettings,
    Settings,
    StandbySettings,
    TickerSettings,
    TimelockSettings,
    VenueSettings,
    WalletSettings,
)
from keeper.config.rules import (
    leverage_max,
    perp_problems,
    policy_problems,
    standby_problems,
    strategy_problems,
    venue_problems,
)
from keeper.config.telling import (
    AlarmTable,
    MetricsTable,
    PageTable,
    TelegramTable,
    alarm_settings,
    metrics_settings,
    page_settings,
    telegram_settings,
)
from keeper.config.text import tables_from
from keeper.config.wording import did_you_mean, path_text, shown
from keeper.errors import ConfigError
from keeper.exits import PCT_PPM
from keeper.model import Caps, Policy
from keeper.units import wad_from

Urls = dict[At, tuple[str, str | None]]
"""Path of an endpoint -> its (url, ws_url)."""
MAX_HEALTH_ABOVE_TARGET = Decimal("0.10")


def settings_from(text: str, path: Path, credentials_dir: Path | None) -> Settings:
    """Everything in ``text``, validated. Raises ConfigError listing every problem."""
    raw, problems = tables_from(text, path)
    parts = Parts(raw, problems)
    files = Files(base=path.absolute().parent, credentials_dir=credentials_dir, problems=problems)
    _cross(parts, problems)
    urls = _urls(parts, files)
    offers = _offers(parts, files)
    wallet = _wallet(parts, files, problems)
    pairs = tuple(pair_settings(p) for _, p in parts.pairs if p)
    keys = hedge_keys([p for _, p in parts.pairs if p], files, live=parts.live)
    alarms = alarm_settings(parts.alarms or AlarmTable(), files)
    page = page_settings(parts.page or PageTable(hosts=[]), files)
    telegram = telegram_settings(parts.telegram or TelegramTable(chats=[]), files)
    if problems or parts.top is None or parts.shocks is None:
        raise ConfigError(tuple(problems))
    chains = tuple(
        replace(_chain(c, i, urls), aggregator=offers.get(i)) for i, c in enumerate(parts.chains) if c
    )
    venues = tuple(_venue(v) for v in parts.venues if v)
    positions = tuple(
        PositionSettings(
            label=p.label or f"position-{i}",
            venue=p.venue,
            account=p.account,
            policy=p.policy,
            executor=p.executor,
            accept_thin_emergency=p.accept_thin_emergency,
        )
        for i, p in enumerate(parts.positions, 1)
        if p
    )
    policies = tuple(_policy(name, p) for name, p in parts.policies.items())
    canary = canary_digest(parts.canary, ((p.label, f"{p.venue} {p.account}") for p in positions))
    return Settings(
        path=path,
        mode=parts.top.mode,
        state_dir=files.path(parts.top.state_dir),
        chains=chains,
        venues=venues,
        positions=positions,
        policies=policies,
        wallet=wallet,
        shocks_pct=tuple(float(p) for p in parts.shocks.ladder_pct),
        digest=_digest((chains, venues), positions, policies, wallet, (parts.standby, pairs, canary)),
        alarms=alarms,
        metrics=metrics_settings(parts.metrics or MetricsTable()),
        page=page,
        telegram=telegram,
        canary=canary_settings(parts.canary),
        standby=_standby(parts.standby),
        pairs=pairs,
        hedge_keys=keys,
    )


def _cross(parts: Parts, problems: list[str]) -> None:
    """What no table can check by itself: references, duplicates, orders."""
    chains, venues, positions = (parts.rows(n) for n in ("chains", "venues", "positions"))
    problems += _unknown("chain", venues, _texts(chains, "name"))
    problems += _unknown("kind", venues, schema.KINDS)
    problems += _unknown("venue", positions, _texts(venues, "name"))
    problems += _unknown("policy", positions, parts.broken)
    problems += _private(parts)
    problems += ticker_problems(chains)
    problems += _twice(chains, "name")
    problems += _twice(chains, "chain_id")
    problems += _twice(venues, "name")
    problems += _twice(venues, "provider", "chain", "market")
    problems += venue_problems(venues)
    problems += perp_problems(venues, positions, parts.policies)
    if parts.standby is not None:
        problems += standby_problems(parts.standby, positions, parts.policies)
    problems += canary_problems(parts)
    problems += _paired(parts)
    problems += _twice(positions, "label")
    problems += _twice(positions, "account", "venue")
    endpoints = parts.endpoints()
    for chain_at, _ in chains:
        problems += _twice([(at, e) for at, e in endpoints if at[: len(chain_at)] == chain_at], "name")
    for name, policy in parts.policies.items():
        where = path_text(("policies", name))
        problems += policy_problems(where, policy, parts.broken[name])
        problems += strategy_problems(where, policy.strategies)


def _paired(parts: Parts) -> list[str]:
    known = Known(
        venues=parts.rows("venues"),
        positions=parts.rows("positions"),
        policies=parts.policies,
        wallet=parts.wallet.address if parts.wallet else None,
        standby=parts.standby is not None,
    )
    return pair_problems([(at, p) for at, p in parts.pairs if p], known)


def _private(parts: Parts) -> list[str]:
    """A chain is read from somewhere, and never from where transactions go in private."""
    out = []
    for at, chain in parts.rows("chains"):
        given = chain.get("endpoints")
        rows = [row for row in given if isinstance(row, dict)] if isinstance(given, list) else []
        if rows and all(row.get("private") is True for row in rows):
            why = "every endpoint is private, and nothing is read from those; add one without private = true"
            out.append(f"{path_text((*at, 'endpoints'))}: {why}")
    for at, row in parts.endpoints():
        where, private = path_text(at), row.get("private") is True
        if private and (row.get("ws_url") or row.get("ws_url_file")):
            out.append(f"{where}.ws_url: a private endpoint is only sent to; remove it")
        if not private and row.get("send_method") == "eth_sendPrivateTransaction":
            out.append(f"{where}.send_method: needs private = true: others are read from as well")
    return out


def _texts(rows: Iterable[Row], key: str) -> list[str]:
    return [value for _, row in rows if isinstance(value := row.get(key), str)]


def _unknown(field: str, rows: Iterable[Row], known: Iterable[str]) -> list[str]:
    names = list(known)
    return [
        f"{path_text((*at, field))}: {shown(name)} is not known{did_you_mean(name, names)}"
        for at, row in rows
        if isinstance(name := row.get(field), str) and name not in names
    ]


def _twice(rows: Iterable[Row], field: str, *within: str) -> list[str]:
    """Rows that give ``field`` a value which an earlier row (of equal ``within`` fields) has already."""
    seen: dict[tuple[str, ...], At] = {}
    out = []
    for at, row in rows:
        if row.get(field) is None:
            continue
        first = seen.setdefault(tuple(repr(row.get(f)) for f in (field, *within)), at)
        if first != at:
            where = path_text((*at, field))
            out.append(f"{where}: {shown(row[field])} is already used by {path_text(first)}; list it once")
    return out


def _urls(parts: Parts, files: Files) -> Urls:
    found: Urls = {}
    for at, row in parts.endpoints():
        given = {
            k: v for k in ("url", "url_file", "ws_url", "ws_url_file") if isinstance(v := row.get(k), str)
        }
        url = files.url(at, "url", given.get("url"), given.get("url_file"))
        ws_url = files.url(at, "ws_url", given.get("ws_url"), given.get("ws_url_file"))
        if url is not None:
            found[at] = (url, ws_url)
    return found


def _offers(parts: Parts, files: Files) -> dict[int, AggregatorSettings]:
    """The aggregator of each chain that names one, by the chain's place."""
    found = {}
    for i, chain in enumerate(parts.chains):
        given = chain.aggregator if chain else None
        if given is None:
            continue
        at = ("chains", i, "aggregator")
        plain = given.url or (None if given.url_file else schema.AGGREGATOR_URL[given.name])
        url = files.url(at, "url", plain, given.url_file)
        key_file = files.secret(path_text((*at, "key_file")), given.key_file, needed=True)
        found[i] = AggregatorSettings(name=given.name, url=url or "", router=given.router, key_file=key_file)
    return found


def _chain(chain: schema.Chain, number: int, urls: Urls) -> ChainSettings:
    default_s = schema.BLOCK_TIME_S.get(chain.chain_id, schema.BLOCK_TIME_S_UNKNOWN)
    endpoints = []
    for i, e in enumerate(chain.endpoints):
        url, ws_url = urls[("chains", number, "endpoints", i)]
        endpoints.append(
            EndpointSettings(
                name=e.name or f"{chain.name}-{i + 1}",
                url=url,
                ws_url=ws_url,
                rate_per_s=float(e.rate_per_s),
                concurrency=e.concurrency,
                private=e.private,
                send_method=e.send_method,
            )
        )
    mempool = chain.chain_id not in schema.WITHOUT_MEMPOOL if chain.mempool is None else chain.mempool
    storm_gwei = chain.storm_gwei or schema.STORM_GWEI.get(chain.chain_id, schema.STORM_GWEI_DEFAULT)
    return ChainSettings(
        name=chain.name,
        chain_id=chain.chain_id,
        block_time_s=float(chain.block_time_s) if chain.block_time_s else default_s,
        multicall=chain.multicall,
        native_token=chain.native_token or schema.WRAPPED_NATIVE.get(chain.chain_id),
        endpoints=tuple(e for e in endpoints if not e.private),
        private=tuple(e for e in endpoints if e.private),
        private_blocks=chain.private_blocks,
        mempool=mempool,
        storm_gwei=float(storm_gwei),
        uniswap_quoter=chain.uniswap_quoter or schema.QUOTER.get(chain.chain_id),
        uniswap_router=chain.uniswap_router or schema.ROUTER.get(chain.chain_id),
        swap_via=_via(chain),
        uptime_feed=chain.uptime_feed,
        timelocks=None
        if chain.timelocks is None
        else tuple(TimelockSettings(kind=t.kind, address=t.address) for t in chain.timelocks),
        tickers=tuple(
            TickerSettings(name=t.name, url=t.url, market=t.market or "", quote=t.quote)
            for t in chain.tickers
        ),
    )


def _venue(venue: schema.Venue) -> VenueSettings:
    given = venue.model_dump()
    lists = {key: tuple(given[key]) for key in ("pre_liquidations", "vaults")}
    return VenueSettings(**given | lists)


def _via(chain: schema.Chain) -> tuple[str, ...]:
    """Tokens between two pools: those named, else the wrapped native token."""
    if chain.swap_via is not None:
        return tuple(dict.fromkeys(chain.swap_via))
    native = chain.native_token or schema.WRAPPED_NATIVE.get(chain.chain_id)
    return (native,) if native else ()


def _wallet(parts: Parts, files: Files, problems: list[str]) -> WalletSettings:
    given = parts.wallet or schema.Wallet()
    here = given.signer == "in-process"
    if parts.live and parts.wallet is not None:
        problems += [
            f'wallet.{field}: is required when mode is "live"'
            for field in (("address", "keystore", "password_file") if here else ("address",))
            if getattr(given, field) is None
        ]
    return WalletSettings(
        address=given.address,
        keystore=files.secret("wallet.keystore", given.keystore, needed=parts.live and here),
        password_file=files.secret("wallet.password_file", given.password_file, needed=parts.live and here),
        signer=given.signer,
    )


def _policy(name: str, p: schema.PolicyTable) -> Policy:
    return Policy(
        name=name,
        warn_wad=wad_from(p.warn),
        trigger_wad=wad_from(p.trigger),
        target_wad=wad_from(p.target),
        emergency_wad=wad_from(p.emergency),
        max_health_wad=wad_from(p.max_health or p.target + MAX_HEALTH_ABOVE_TARGET),
        hysteresis_wad=wad_from(p.hysteresis),
        cooldown_blocks=p.cooldown_blocks,
        act=p.act,
        strategies=tuple(p.strategies),
        caps=Caps(**p.caps.model_dump()),
        idle_rate=float(p.idle_rate),
        horizon_days=float(p.horizon_days),
        stress_pct=float(p.stress_pct),
        ladder=p.ladder,
        close_at_wad=wad_from(p.close_at) if p.close_at is not None else 0,
        close_prices=tuple((symbol, wad_from(price)) for symbol, price in p.close_prices.items()),
        close_to=p.close_to,
        deleverage_times=p.deleverage_times,
        stretch=p.stretch,
        lead_bps=int(p.lead_pct * 100),
        trail_pct=tuple((symbol, int(pct * PCT_PPM)) for symbol, pct in p.trail_pct.items()),
        take_profit=tuple((symbol, wad_from(price)) for symbol, price in p.take_profit.items()),
        close_above_trigger=p.close_above_trigger,
        leverage_target_wad=wad_from(p.leverage_target or 0),
        leverage_max_wad=wad_from(leverage_max(p) or 0),
        storm_times_max=float(p.storm_times_max),
        warning_target_wad=wad_from(p.warning_target),
        warning_trigger_wad=wad_from(p.warning_trigger),
        exposure_max_usd=tuple((*limit_of(key), usd) for key, usd in p.exposure_max_usd.items()),
        depeg_ppm=int((p.depeg_pct or 0) * PCT_PPM),
        floor_usd=p.floor_usd or 0,
        floor_times_wad=wad_from(p.floor_times or 0),
        floor_ratchet_ppm=int((p.floor_ratchet_pct or 0) * PCT_PPM),
        reduce_above_trigger=p.reduce_above_trigger,
    )


def _standby(table: schema.Standby | None) -> StandbySettings | None:
    return None if table is None else StandbySettings(blocks=table.blocks, margin_wad=wad_from(table.margin))


def _digest(
    places: tuple[tuple[ChainSettings, ...], tuple[VenueSettings, ...]],
    positions: tuple[PositionSettings, ...],
    policies: tuple[Policy, ...],
    wallet: WalletSettings,
    beside: tuple[schema.Standby | None, tuple[PairSettings, ...], Mapping[str, object]] = (None, (), {}),
) -> str:
    """SHA-256 over what decides about money; names, endpoints and paths do not change it."""
    chain_of = {c.name: c for c in places[0]}
    venue_of = {v.name: v for v in places[1]}
    policy_of = {p.name: {**asdict(p), "name": ""} for p in policies}
    guarded = []
    for p in positions:
        v = venue_of[p.venue]
        c = chain_of[v.chain]
        market = [c.chain_id, c.multicall, c.native_token, v.kind, v.provider, p.account]
        market += [[v.market, v.usd_feed, v.pre_liquidations]] if v.market else []
        market += [[v.proxy, v.vaults]] if v.proxy or v.vaults else []
        market += [[v.reader, v.subaccount, v.spread_bps]] if v.kind in schema.PERPS else []
        sells = [[p.executor, c.uniswap_quoter, c.uniswap_router, c.swap_via]] if p.executor else []
        sells += [[c.aggregator.name, c.aggregator.router]] if p.executor and c.aggregator else []
        guarded.append([market, policy_of[p.policy], *sells])
    guarded.sort(key=lambda g: json.dumps(g[0]))
    # a machine that no longer waits for another one acts where it did not
    standby, pairs, canary = beside
    waits = {"standby": [standby.blocks, str(standby.margin)]} if standby is not None else {}
    if pairs:
        waits["pairs"] = [asdict(p) for p in pairs]
    body = json.dumps({"wallet": wallet.address, "guarded": guarded, **waits, **canary}, sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()

"""What ``keeper check`` looks at: endpoints, contracts, wallet, means against need, key, nonce, journal."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path

from keeper.chain.endpoint import EndpointEvent, Kind
from keeper.clock import SystemClock
from keeper.config import ChainSettings, EndpointSettings, Settings
from keeper.daemon import (
    bands,
    cushions,
    executors,
    governing,
    head_time,
    moving,
    oracles,
    permissions,
    perp_listed,
    perp_seats,
)
from keeper.daemon.canary import calm
from keeper.daemon.facts import Guarded
from keeper.daemon.senders import credentials_dir
from keeper.daemon.wiring import Finding, Site, View, opened
from keeper.errors import Broken, ConfigError, Transient
from keeper.journal.recover import standing
from keeper.model import Intent, Means, Policy, Position, Snapshot
from keeper.phrases import usd_text
from keeper.seams import Severity, Transport
from keeper.sizing import repay_base_up
from keeper.units import GWEI, UINT256_MAX, mul_div_down

ACTION_GAS = 250_000
"""More than a supply or a repay uses on any venue that ships."""
TANK_ACTIONS = 10
TANK_BASE_FEES = 5
"""The gas tank should hold ten actions at five times today's base fee (and never less than at 20 gwei)."""
TANK_GWEI_MIN = 20
WEB3_S = 5.0
"""For each of the two questions that an endpoint's node is asked about itself."""


async def inspect(settings: Settings) -> tuple[Finding, ...]:
    """Every finding of every chain, worst first."""
    findings = [*await key(settings), *await hedge_keys(settings), *_journal(settings)]
    for chain in settings.chains:
        findings += await _chain(settings, chain)
    order = list(Severity)
    return tuple(sorted(findings, key=lambda f: order.index(f.severity), reverse=True))


async def _chain(settings: Settings, chain: ChainSettings) -> list[Finding]:
    events: list[EndpointEvent] = []
    syncing = await nodes(chain)
    try:
        async with opened(settings, chain, events.append) as site:
            found = [_endpoint(chain, e) for e in events if e.kind in (Kind.DOWN, Kind.WRONG_CHAIN)]
            found += await _time(chain, site)
            found += await books(settings, chain, site.endpoints)
            found += await permissions.findings(site, settings)
            found += await perp_listed.findings(site, settings)
            found += await cushions.findings(site, settings)
            view = await site.view()
            found += await oracles.findings(site, view.snapshot)
            found += await governing.findings(site, view.snapshot)
            own = await bands.measured(site, view.snapshot)
            found += calm.findings(settings, site.guarded, view.snapshot)
            found += bands.findings(site.guarded, settings.positions, view.snapshot, own)
            found += moving.findings(site, view.snapshot, (settings.journal_path, settings.state_dir))
            return syncing + found + _view(view, site, settings)
    except ConfigError as e:
        return syncing + [_bad(Severity.CRITICAL, "contract", chain.name, problem) for problem in e.problems]
    except Transient as e:
        return [*syncing, _bad(Severity.CRITICAL, "unreachable", chain.name, str(e))]


async def _time(chain: ChainSettings, site: Site) -> list[Finding]:
    """Whether the newest head is of now, by this machine's clock."""
    old, ahead = await head_time.look(chain, site.endpoints, SystemClock())
    found = [_bad(Severity.CRITICAL, "blind", chain.name, old)] if old else []
    return [*found, _bad(Severity.WARNING, "clock_skew", chain.name, ahead)] if ahead else found


async def nodes(chain: ChainSettings) -> list[Finding]:
    """What each endpoint's node says of itself: one that is still syncing tells of an old chain."""
    # one that does not answer is found as down by the transport, and many a provider hides both methods
    told = await asyncio.gather(*(_syncing(e) for e in chain.endpoints), return_exceptions=True)
    return [
        _bad(Severity.WARNING, "endpoint_syncing", f"{chain.name}/{endpoint.name}", why)
        for endpoint, why in zip(chain.endpoints, told, strict=True)
        if isinstance(why, str) and why
    ]


async def _syncing(endpoint: EndpointSettings) -> str:
    """Which client is syncing and how far it has come; empty when it is not."""
    from keeper.chain.contract import close_web3, open_web3

    w3 = await open_web3(endpoint.url, timeout_s=WEB3_S)
    try:
        state = await w3.eth.syncing
        if isinstance(state, bool):
            return "it is syncing" if state else ""
        at, of = state.get("currentBlock"), state.get("highestBlock")
        return f"{await w3.client_version} is syncing: at block {at} of {of}; wait, or use another endpoint"
    finally:
        await close_web3(w3)


async def books(settings: Settings, chain: ChainSettings, transport: Transport) -> list[Finding]:
    """Whether journal and chain agree on the wallet's transactions, and what a daemon would find unfinished.

    Live mode only: a dry-run signs nothing. Raises Transient when no node answers.
    """
    from keeper.journal.read import Reader

    address = settings.wallet.address
    if settings.mode != "live" or address is None:
        return []
    try:
        with (
            nullcontext()
            if not settings.journal_path.exists()
            else Reader.open(settings.journal_path) as journal
        ):
            stands = await standing(journal, transport, chain.chain_id, address)
            unfinished = () if journal is None else journal.open_intents(chain.chain_id)
    except (ConfigError, Broken):
        return []  # said once, by the look at the journal itself
    found = [_unfinished(intent, address) for intent in unfinished]
    if not stands.in_step or (stands.known is None and stands.pending > stands.latest):
        what = (
            f"the chain has {stands.latest} transactions of this key ({stands.pending} with pending ones), the "
            f"journal accounts for {stands.known or 0}"
        )
        if stands.taken is not None:
            what = (
                f"nonce {stands.taken} was used by another transaction than the one that the journal signed"
            )
        why = (
            f"foreign nonce: {what}: the daemon signs nothing until the right journal is restored, or "
            "`keeper adopt` accepts it"
        )
        found.append(_bad(Severity.CRITICAL, "foreign_nonce", f"{chain.name}/{address}", why))
    return found


def _unfinished(intent: Intent, address: str) -> Finding:
    why = (
        f"{intent.state.value} since block {intent.plan.block.number}, {len(intent.attempts)} attempts signed"
    )
    then = "a running daemon tends it, one that starts recovers it first"
    if not intent.is_of(address):
        used = f"nonce {intent.attempts[-1].nonce} of {intent.signer} is used, or `keeper adopt --give-up`"
        then = f"another key than wallet.address signed it: nothing is done for its position until {used}"
    return _bad(Severity.WARNING, "open_intent", str(intent.key), f"{why}: {then}")


def _view(view: View, site: Site, settings: Settings) -> list[Finding]:
    """Positions, and the wallet's means against what a rescue of each may need."""
    snapshot = view.snapshot
    found = [_bad(Severity.CRITICAL, "unreadable", str(u.id), u.why) for u in snapshot.unreadable]
    if settings.wallet.address is None:
        why = "no wallet: this dry-run will decide, and find nothing to act with; set wallet.address"
        return [*found, _bad(Severity.WARNING, "wallet", "wallet.address", why)]
    found += _tank(snapshot)
    found += executors.findings(site, settings, snapshot)
    found += perp_seats.findings(site, snapshot)
    for guarded in site.guarded:
        position = snapshot.position(guarded.id)
        if position is not None and not executors.can_sell(snapshot.means, guarded):
            found += _need(position, guarded, site, snapshot.means)
    return found


def _tank(snapshot: Snapshot) -> list[Finding]:
    base_fee_wei = max(TANK_BASE_FEES * snapshot.block.base_fee_wei, TANK_GWEI_MIN * GWEI)
    need_wei = TANK_ACTIONS * ACTION_GAS * base_fee_wei
    if snapshot.means.native_wei >= need_wei:
        return []
    why = (
        f"holds {snapshot.means.native_wei / 1e18:.4f} native, {TANK_ACTIONS} actions at "
        f"{base_fee_wei / GWEI:.0f} gwei need {need_wei / 1e18:.4f}: send it gas"
    )
    return [_bad(Severity.WARNING, "gas_tank", snapshot.means.wallet, why)]


def _need(position: Position, guarded: Guarded, site: Site, means: Means) -> list[Finding]:
    """Whether wallet and allowances could bring the position from emergency back to target."""
    debt_base = sum(h.value_base for h in position.debt)
    if not debt_base or position.health_wad == UINT256_MAX:
        return []
    need_base = _repay_from_emergency_up(debt_base, guarded.policy)
    venue = site.venues[guarded.venue_id]
    usable = 0
    for holding in (*position.debt, *(h for h in position.collateral if h.threshold_wad)):
        token = holding.amount.token
        units = min(means.balance(token), means.allowance(token, venue.spender))
        usable = max(usable, mul_div_down(units, holding.price_base, 10**token.decimals))
    if usable >= need_base:
        return []
    scale = 10**position.base_decimals
    why = (
        f"from emergency health back to target takes {usd_text(need_base / scale)} of one asset; wallet and "
        f"allowance have {usd_text(usable / scale)}: fund the wallet and run `keeper grant`"
    )
    return [_bad(Severity.WARNING, "means", guarded.label, why)]


def _repay_from_emergency_up(debt_base: int, policy: Policy) -> int:
    """Base units to repay at emergency health so that target is reached."""
    return repay_base_up(debt_base * policy.emergency_wad, debt_base, policy.target_wad)


async def key(settings: Settings) -> list[Finding]:
    """Whether the key files are closed to others, and the password opens the key of ``wallet.address``.

    Asked of a dry-run too, as soon as both files are named: before money is sent to that address is the time to
    learn that nobody can sign for it.
    """
    wallet = settings.wallet
    if wallet.signer_socket is not None:
        return []  # another process holds it
    problems = await _tried((wallet.keystore, wallet.password_file), wallet.address, "wallet.address")
    return [_bad(_loud(settings), "key", "wallet", problem) for problem in problems]


async def hedge_keys(settings: Settings) -> list[Finding]:
    """The same of each hedge that has a key of its own: what is wrong with it stops the hedge, at night as well."""
    found = []
    for mine in settings.hedge_keys:
        named = f"pairs.hedge.key of {mine.short}"
        problems = await _tried((mine.keystore, mine.password_file), mine.address, named)
        found += [_bad(_loud(settings), "hedge_key", mine.short, problem) for problem in problems]
    return found


async def _tried(files: tuple[Path | None, Path | None], address: str | None, named: str) -> list[str]:
    """What is wrong with a keystore and its password: missing, open to others, not opened, of another address."""
    from keeper.signer.key import find_secret, load_key, read_secret

    where, problems = credentials_dir(), list[str]()
    for path in files:
        if path is not None:
            try:
                read_secret(find_secret(path, where), where)
            except ConfigError as e:
                problems += e.problems
    keystore, password = files
    if address and keystore and password and not problems:
        try:
            await load_key(keystore, password, address, credentials_dir=where, configured=named)
        except ConfigError as e:
            problems += e.problems
    return problems


def _loud(settings: Settings) -> Severity:
    return Severity.CRITICAL if settings.mode == "live" else Severity.WARNING


def _journal(settings: Settings) -> list[Finding]:
    from keeper.journal.read import Reader

    if not settings.journal_path.exists():
        return []
    try:
        with Reader.open(settings.journal_path) as journal:
            armed = journal.control("armed")
    except (ConfigError, Broken) as e:
        return [_bad(Severity.CRITICAL, "journal", str(settings.journal_path), str(e))]
    if settings.mode == "live" and (armed is None or armed.value != settings.digest):
        why = "live and disarmed for this configuration: the daemon will watch and alarm, and send nothing"
        return [_bad(Severity.WARNING, "disarmed", "keeper arm", why)]
    return []


def _endpoint(chain: ChainSettings, event: EndpointEvent) -> Finding:
    loud = Severity.CRITICAL if event.kind is Kind.WRONG_CHAIN else Severity.WARNING
    return _bad(loud, f"endpoint_{event.kind}", f"{chain.name}/{event.name}", event.why)


def _bad(severity: Severity, code: str, subject: str, why: str) -> Finding:
    return Finding(severity=severity, code=code, subject=subject, why=why)

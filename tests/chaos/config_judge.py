"""What makes a configuration dangerous, section by section, by rules of its own and not by the parser's.

Dangerous is what would act on the wrong thing, spend without a bound, wait until it is too late, say that somebody
guards where nobody does, or tell a secret. Each function says what that is for its section; it answers why, or an
empty string.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from eth_utils.address import is_checksum_address

from keeper.config import Settings
from keeper.config.pairing import PairSettings
from keeper.model import Policy
from keeper.units import WAD
from tests.chaos.config_bases import KEY, TOKEN

PERPETUAL = ("add_margin", "reduce_perp", "close_perp", "stop_on_venue")
FROM_WALLET = ("repay", "add_collateral", "add_margin")
DIALECTS = ("0x", "1inch")
TIMELOCKS = ("aave_payloads", "compound", "maker_pause")
LIMITED = ("asset", "venue", "issuer")
HERE = ("127.0.0.1", "localhost", "::1")
_LEAST_GAP_WAD = WAD // 1000


def dangerous(settings: Settings) -> str:
    """Why nobody should guard money with these settings, or an empty string."""
    return next((why for why in _reasons(settings) if why), "")


def _reasons(settings: Settings) -> Iterator[str]:
    yield _top(settings)
    for policy in settings.policies:
        for judge in (_thresholds, _spending, _closing, _moving, _reducing):
            why = judge(policy)
            yield f"{policy.name}: {why}" if why else ""
    yield _wiring(settings)
    yield _addresses(settings)
    yield _chains(settings)
    yield _perps(settings)
    yield from (_pair(settings, pair) for pair in settings.pairs)
    yield _keys(settings)
    yield _canary(settings)
    yield _standby(settings)
    yield _telling(settings)
    yield _secrets(settings)


def _top(settings: Settings) -> str:
    """A mode that is none; live with nobody to sign; a folder that cannot be; shocks that are no moves."""
    if "\0" in str(settings.state_dir):
        return "a state folder that no system call takes"
    if settings.mode not in ("live", "dry-run"):
        return f"mode {settings.mode}"
    w, apart = settings.wallet, settings.wallet.signer != "in-process"
    if settings.mode == "live" and not (w.address and (apart or (w.keystore and w.password_file))):
        return "live without a wallet"
    if apart and not (w.signer_socket and w.signer_socket.is_absolute() and w.signer_socket.name):
        return f"a signer at {w.signer!r}"
    if not settings.shocks_pct or not all(-100 < pct < 1e9 and pct for pct in settings.shocks_pct):
        return f"shocks {settings.shocks_pct}"
    return ""


def _thresholds(p: Policy) -> str:
    """Health factors out of order, or a rescue that would begin again at its end, or at once."""
    if not WAD < p.emergency_wad < p.trigger_wad < p.warn_wad:
        return "the thresholds are out of order"
    if p.target_wad < p.trigger_wad + _LEAST_GAP_WAD or p.target_wad < p.trigger_wad + p.hysteresis_wad:
        return f"target {p.target_wad} is not clearly above trigger {p.trigger_wad}"
    if p.max_health_wad <= p.target_wad:
        return "max_health is not above target"
    if p.trigger_wad > 100 * WAD:
        return f"trigger {p.trigger_wad / WAD} can only be a percentage"
    return ""


def _spending(p: Policy) -> str:
    """No bound of what an action, a day or gas may cost; no way to act; numbers that no decision can take."""
    c = p.caps
    if not (0 < c.per_action_usd <= c.per_day_usd and 0 < c.gas_usd_max <= c.gas_usd_emergency):
        return f"caps {c}"
    if not 1 <= c.gas_loss_pct <= 100:
        return f"gas may cost {c.gas_loss_pct} per cent of the loss"
    if p.act not in ("always", "break_even") or not p.strategies or p.cooldown_blocks < 0:
        return f"act {p.act}, strategies {p.strategies}, cooldown {p.cooldown_blocks}"
    if not (0 <= p.idle_rate < 1e3 and 0 <= p.horizon_days < 1e6):
        return f"idle rate {p.idle_rate}, horizon {p.horizon_days}"
    if not 0 <= p.stress_pct <= 90 or not 0 <= p.lead_bps <= 1_000 or p.deleverage_times < 0:
        return f"stress {p.stress_pct}, lead {p.lead_bps} bps, times {p.deleverage_times}"
    return ""


def _closing(p: Policy) -> str:
    """All closed at a health at which nothing is wrong, at a price that is none, or by a level that nobody reads."""
    if p.close_at_wad and not WAD < p.close_at_wad <= p.trigger_wad:
        return f"close_at {p.close_at_wad} is not from 1 to trigger {p.trigger_wad}"
    if any(price <= 0 for _, price in (*p.close_prices, *p.take_profit)):
        return f"prices {p.close_prices} {p.take_profit}"
    if any(not 0 < pct <= 90 * 10**4 for _, pct in p.trail_pct):
        return f"trails {p.trail_pct}"
    names = set(p.strategies)
    for field, levels, readers in (
        ("close_at or close_prices", p.close_at_wad or p.close_prices, {"close_position", "close_perp"}),
        ("trail_pct", p.trail_pct, {"trailing_stop"}),
        ("take_profit", p.take_profit, {"take_profit"}),
    ):
        if bool(levels) != bool(names & readers):
            return f"{field} and {sorted(readers)}: one without the other"
    if p.take_profit and not p.close_above_trigger:
        return "a profit that is never taken: health is above trigger then"
    if p.close_above_trigger and not (p.close_prices or p.trail_pct or p.take_profit):
        return "sales above trigger by no price"
    return "" if p.close_to in ("collateral", "debt") else f"close_to {p.close_to}"


def _moving(p: Policy) -> str:
    """A band of leverage that is none, a storm or a warning that moves a trigger without bound."""
    target, top = p.leverage_target_wad, p.leverage_max_wad
    if (target or top) and not WAD < target < top:
        return f"a band of leverage from {target} to {top}"
    if not 1 <= p.storm_times_max <= 3:
        return f"a storm makes lines {p.storm_times_max} times as wide"
    if not (0 <= p.warning_target_wad <= WAD and 0 <= p.warning_trigger_wad <= WAD):
        return f"a warning adds {p.warning_target_wad}, {p.warning_trigger_wad}"
    return ""


def _reducing(p: Policy) -> str:
    """A limit on nothing, a peg that every day breaks, a floor without what it needs, a rule that nobody asks for."""
    names = set(p.strategies)
    if any(kind not in LIMITED or not name or usd <= 0 for kind, name, usd in p.exposure_max_usd):
        return f"limits {p.exposure_max_usd}"
    for named, given in (("depeg_playbook", p.depeg_ppm), ("floor", p.floor_usd)):
        if (named in names) != bool(given):
            return f"{named} and its number: one without the other"
    if "exposure_limits" in names and not p.exposure_max_usd:
        return "limits without a number"
    # half a per cent to half of a dollar
    if p.depeg_ppm and not 5_000 <= p.depeg_ppm <= 500_000:
        return f"a stable is off its peg at {p.depeg_ppm} millionths"
    if bool(p.floor_usd) != bool(p.floor_times_wad) or (
        p.floor_usd and not WAD < p.floor_times_wad <= 20 * WAD
    ):
        return f"floor {p.floor_usd}, times {p.floor_times_wad}"
    if not 0 <= p.floor_ratchet_ppm <= 990_000 or p.floor_usd < 0:
        return f"the floor follows by {p.floor_ratchet_ppm} millionths"
    if p.reduce_above_trigger and not (p.exposure_max_usd or p.depeg_ppm or p.floor_usd):
        return "sales above trigger by no rule"
    return ""


def _wiring(settings: Settings) -> str:
    """What is named must exist, and once: else the wrong position is guarded, or none."""
    names = {
        "chains": [c.name for c in settings.chains],
        "chain ids": [c.chain_id for c in settings.chains],
        "venues": [v.name for v in settings.venues],
        "policies": [p.name for p in settings.policies],
        "labels": [p.label for p in settings.positions],
        "positions": [(p.venue, p.account.lower()) for p in settings.positions],
        "pairs": [label for pair in settings.pairs for label in (pair.loan, pair.short)],
    }
    for what, found in names.items():
        if len(set(found)) != len(found):
            return f"{what}: one is there twice"
    for position in settings.positions:
        if position.venue not in names["venues"] or position.policy not in names["policies"]:
            return f"{position.label}: venue or policy does not exist"
    if any(v.chain not in names["chains"] for v in settings.venues):
        return "a venue on a chain that does not exist"
    return "" if settings.chains and settings.venues and settings.positions else "nothing is guarded"


def _addresses(settings: Settings) -> str:
    """An address that a slip of one letter may have made another: of whom money is paid to, or read from."""
    given = [settings.wallet.address]
    for p in settings.positions:
        given += [p.account, p.executor]
    for v in settings.venues:
        given += [v.provider, v.usd_feed, v.proxy, v.reader, v.subaccount, *v.pre_liquidations]
    for c in settings.chains:
        given += [c.multicall, c.native_token, c.uniswap_quoter, c.uniswap_router, c.uptime_feed, *c.swap_via]
        given += [c.aggregator.router] if c.aggregator else []
        given += [t.address for t in c.timelocks or ()]
    given += [pair.hedge.key for pair in settings.pairs if pair.hedge]
    wrong = [a for a in given if a is not None and not is_checksum_address(a)]
    return f"no EIP-55 address: {wrong}" if wrong else ""


def _chains(settings: Settings) -> str:
    """A chain read from a private endpoint or none, sent to by a wrong method, dead for an hour unnoticed, asked
    without a limit; a helper (aggregator, exchange, timelock) that nobody knows."""
    for chain in settings.chains:
        if not 0 < chain.chain_id < 2**63 or not 0 < chain.block_time_s <= 3_600 or not chain.endpoints:
            return f"{chain.name}: chain id {chain.chain_id}, block time {chain.block_time_s}"
        if any(e.private for e in chain.endpoints) or not all(e.private for e in chain.private):
            return f"{chain.name}: a private endpoint would be read from"
        if any(e.send_method != "eth_sendRawTransaction" or not e.url for e in chain.endpoints):
            return f"{chain.name}: a public endpoint is sent to by a private method"
        if not 1 <= chain.private_blocks <= 8 or not 0 < chain.storm_gwei <= 1e6:
            return f"{chain.name}: {chain.private_blocks} private blocks, storm {chain.storm_gwei} gwei"
        for e in (*chain.endpoints, *chain.private):
            if not e.url.startswith(("http://", "https://")) or not 0 < e.rate_per_s < 1e12:
                return f"{chain.name}: endpoint {e.name}"
            if not e.concurrency >= 1 or not (e.ws_url or "ws://").startswith(("ws://", "wss://")):
                return f"{chain.name}: endpoint {e.name}, {e.concurrency} at once"
        if len(chain.swap_via) > 4 or any(t.kind not in TIMELOCKS for t in chain.timelocks or ()):
            return f"{chain.name}: {len(chain.swap_via)} tokens between, timelocks {chain.timelocks}"
        offers = chain.aggregator
        if offers and (offers.name not in DIALECTS or not offers.url.startswith(("http://", "https://"))):
            return f"{chain.name}: aggregator {offers.name}"
        if any(not (t.url or "https://").startswith(("http://", "https://")) for t in chain.tickers):
            return f"{chain.name}: a ticker's address"
    return ""


def _perps(settings: Settings) -> str:
    """A perpetual for which nothing can be done, a slot that is none, prices widened by more than a tenth."""
    for venue in settings.venues:
        if not 0 <= venue.spread_bps <= 1_000 or any(v <= 0 for v in venue.vaults):
            return f"{venue.name}: spread {venue.spread_bps} bps, vaults {venue.vaults}"
        parts = (venue.market or "").split(":")
        slot = len(parts) == 3 and parts[2] in ("long", "short") and all(map(is_checksum_address, parts[:2]))
        if (venue.kind == "gmx_v2") != slot:
            return f"{venue.name}: {venue.kind} on {venue.market}"
        if venue.kind in ("morpho_blue", "maker") and len(venue.market or "") != 66:
            return f"{venue.name}: no market {venue.market}"
    for position in settings.positions:
        ways = settings.policy(position.policy).strategies
        perp = settings.venue(position.venue).kind == "gmx_v2"
        if perp and not any(way in PERPETUAL or ":" in way for way in ways):
            return f"{position.label}: {ways} can do nothing for a perpetual position"
    return ""


def _pair(settings: Settings, pair: PairSettings) -> str:
    """A loan whose lines are lowered for a short that does not hedge it; lines out of order; a hedge without a bound,
    by the rescue's key, or by a machine that only waits."""
    at = {p.label: p for p in settings.positions}
    if pair.loan not in at or pair.short not in at:
        return f"{pair.loan}/{pair.short}: no position"
    loan, short = (settings.venue(at[label].venue) for label in (pair.loan, pair.short))
    if loan.kind == "gmx_v2" or not (short.market or "").endswith(":short") or loan.chain != short.chain:
        return (
            f"{pair.loan}/{pair.short}: a {loan.kind} and {short.market}, on {loan.chain} and {short.chain}"
        )
    policy = settings.policy(at[pair.loan].policy)
    if (pair.trigger_wad is None) != (pair.target_wad is None):
        return f"{pair.loan}: half of its lines"
    if pair.trigger_wad is not None and pair.target_wad is not None:
        low, high = pair.trigger_wad, pair.target_wad
        if not policy.emergency_wad < low < policy.trigger_wad or not low < high <= policy.target_wad:
            return f"{pair.loan}: covered lines {low}, {high}"
    if not 1 <= pair.cover_pct <= 100 or pair.short_health_wad <= WAD or not 0 <= pair.patience_s <= 600:
        return f"{pair.loan}: cover {pair.cover_pct}, short at {pair.short_health_wad}, {pair.patience_s} s"
    if not pair.assets:
        return f"{pair.loan}: a short of nothing"
    if pair.take_profit and ("repay_from_reserve" not in policy.strategies or settings.standby):
        return f"{pair.loan}: a profit that cannot be paid in"
    h = pair.hedge
    if h is None:
        return ""
    if h.key.lower() == (settings.wallet.address or "").lower():
        return f"{pair.loan}: hedged by the rescue's own key"
    if not 0 < h.action_usd_max <= h.day_usd_max <= h.notional_usd_max or not 1 <= h.share_pct <= 100:
        return f"{pair.loan}: hedge caps {h}"
    if not (1 <= h.leverage <= 10 and 1 <= h.slip_bps <= 1_000 and 1 <= h.band_pct <= 50):
        return f"{pair.loan}: hedge {h}"
    return "" if 0 <= h.funding_year_max_pct <= 1_000 else f"{pair.loan}: funding {h.funding_year_max_pct}"


def _keys(settings: Settings) -> str:
    """A hedge's key that belongs to no pair, serves two, or lies where the rescue's does."""
    of = {pair.short: pair.hedge.key for pair in settings.pairs if pair.hedge}
    keys = [key.lower() for key in of.values()]
    if len(set(keys)) != len(keys):
        return "one key for two hedges"
    for key in settings.hedge_keys:
        if of.get(key.short) != key.address:
            return f"{key.short}: a key that is not its hedge's"
        if settings.standby is not None:
            return f"{key.short}: a machine that waits would hedge"
    return ""


def _canary(settings: Settings) -> str:
    """Practice on something large, on what is none, without a bound, unheard, or by a machine that only waits."""
    c = settings.canary
    if c is None:
        return ""
    chosen = next((p for p in settings.positions if p.label == c.position), None)
    if chosen is None or settings.venue(chosen.venue).kind == "gmx_v2":
        return f"canary: {c.position!r} is no loan of ours"
    if settings.alarms.targets_file is None or settings.standby is not None:
        return "canary: nobody hears it, or this machine only waits"
    if not (0 < c.value_usd_max <= 10_000 and 0 < c.spend_usd_max <= 1_000 and 0 < c.gas_usd_max <= 100):
        return f"canary: {c}"
    if not WAD // 100 <= c.gain_wad <= WAD // 2 or (c.every_s is not None and c.every_s < 3_600):
        return f"canary: {c}"
    return f"canary: {c}" if c.within_blocks is not None and c.within_blocks < 4 else ""


def _standby(settings: Settings) -> str:
    """Two machines paying for one rescue; a margin or a patience after which nothing is left to guard."""
    s = settings.standby
    if s is None:
        return ""
    if not 1 <= s.blocks <= 100 or s.margin_wad < 0:
        return f"standby: {s}"
    for position in settings.positions:
        policy = settings.policy(position.policy)
        if paid := [way for way in policy.strategies if way in FROM_WALLET]:
            return f"standby: {position.label} would be paid by the wallet: {paid}"
        if policy.trigger_wad - s.margin_wad <= WAD:
            return f"standby: {position.label} is acted for below a health of 1 alone"
    return ""


def _telling(settings: Settings) -> str:
    """A page that strangers may ask, a chat in which anybody speaks, a bot's token sent to no server, alarms that
    never grow louder, a dead man's switch that is pulled by itself."""
    a, page, chat = settings.alarms, settings.page, settings.telegram
    if page.host and (not 0 < page.port < 65_536 or (page.host not in HERE and not page.hosts)):
        return f"page: {page.host}:{page.port} for {page.hosts}"
    if any("*" in host or "/" in host or not host for host in page.hosts):
        return f"page: names {page.hosts}"
    if settings.metrics.host and not 0 < settings.metrics.port < 65_536:
        return f"metrics: port {settings.metrics.port}"
    if (chat.token_file and not chat.chats) or any(not 0 < id < 2**63 for id in chat.chats):
        return f"telegram: chats {chat.chats}"
    if not chat.api.startswith(("http://", "https://")) or "@" in chat.api or chat.api.count("/") != 2:
        return f"telegram: {chat.api}"
    if not 60 <= a.escalate_after_s <= 86_400 or not 10 <= a.dead_man_every_s <= 3_600:
        return f"alarms: {a}"
    minutes = [*(a.quiet_minutes or ()), *([] if a.summary_minute is None else [a.summary_minute])]
    whole = a.quiet_minutes is not None and len(set(a.quiet_minutes)) == 1
    return f"alarms: {a}" if whole or not all(0 <= minute < 1_440 for minute in minutes) else ""


def _secrets(settings: Settings) -> str:
    """A key, or what stands in a URL, where a log would print it; a market's id only has the shape of a key."""
    told = repr(replace(settings, venues=tuple(replace(v, market=None) for v in settings.venues)))
    return "a key is shown" if KEY[2:] in told else "a URL is shown" if TOKEN in told else ""

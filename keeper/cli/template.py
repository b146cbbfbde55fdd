"""The text of a new keeper.toml: every key that matters, with its default and a word on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from json import dumps
from textwrap import wrap

from keeper.config import VenueSettings
from keeper.model import Policy, PositionId
from keeper.units import decimal_text

STATE_DIR = "keeper-state"
HEAD = """\
# keeper.toml - what to guard, how, and within which limits. Every key: docs/reference/config.md
schema = 1
mode = "dry-run"            # "live" sends transactions; it needs [wallet] and `keeper arm`
state_dir = {state_dir}    # journal and control socket, beside this file: never share one between two files

[wallet]                    # the keeper's own wallet: it pays gas, collateral and repayments
# address = "0x..."         # EIP-55
# keystore = "keystore.json"              # keystore v3; never a raw key
# password_file = "credential:keystore_password"    # or a path to a file of mode 0600
"""
POLICY = """\
[policies.default]          # health factors on the liquidation threshold; liquidation is at 1
warn = "1.50"               # below: an alarm
trigger = "1.25"            # below: act
target = "1.40"             # restore to here; at least trigger + hysteresis
emergency = "1.10"          # below: gas cap and cooldown are relaxed (never removed)
# max_health = "1.50"       # never above after acting; default target + 0.10
# hysteresis = "0.02"
# cooldown_blocks = 5
# act = "always"            # a crossed trigger is a promise; "break_even" weighs costs first
# strategies = ["repay", "add_collateral"]
# idle_rate = "0.05"        # what the wallet's idle capital would earn a year
# horizon_days = 7          # how long rescue capital is expected to stay tied up
# stretch = true            # a sale goes on above target, up to max_health, where gas is dear: thrifty with a near
#                             target (`keeper init --from` works the numbers out for a position)

[policies.default.caps]     # whole dollars, whatever the price does
per_action_usd = 10000
per_day_usd = 25000
gas_usd_max = 50            # one action's gas in ordinary times
gas_usd_emergency = 500     # hard ceiling below emergency
# gas_loss_pct = 20         # gas at most this share of what a liquidation would cost; all of it below emergency
"""
SHOCKS = """\
[shocks]                    # what `keeper shock` shows first
ladder_pct = [-5, -10, -20, -30, -40, -50]    # moves of every volatile price at once, in per cent

# [alarms]                  # who hears of it at night; without, alarms stand in the log and the journal
# targets_file = "alarms"   # a line each: critical ntfys://ntfy.example/topic
# dead_man_file = "dead-man"                  # one URL, asked while all is well
# quiet = "23:00-07:00"     # CRITICAL never waits
# zone = "UTC"
# summary_at = "08:00"

# [metrics]
# listen = "127.0.0.1:9464" # /metrics, /healthz, /readyz
"""
NO_POSITION = """\
# [[positions]]             # one table each; the keeper starts only with at least one
# label = "my vault"
# venue = "aave"
# account = "0x..."         # EIP-55
# policy = "default"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A position to write down, and the policy proposed for it with its reason; None for the default one."""

    id: PositionId
    policy: Policy | None
    why: str = ""
    thrifty: Policy | None = None
    """The same with a near target, told as an option."""
    market: VenueSettings | None = None
    """How its market is named; None: by the position's key alone, as Aave's are."""


def file_text(
    chain: str,
    venues: Sequence[str],
    positions: Sequence[str] = (NO_POSITION,),
    policies: Sequence[str] = (),
    state_dir: str = STATE_DIR,
) -> str:
    """The whole file; the default policy stands in it when no other does."""
    head = HEAD.replace("{state_dir}", toml_text(state_dir))
    return "\n".join([head, chain, *venues, *positions, *(policies or [POLICY]), SHOCKS])


def from_guards(
    chain_name: str, chain_id: int, url: str, guards: Sequence[Guard], state_dir: str = STATE_DIR
) -> str:
    """The file that guards every position of ``guards`` (all on one chain), each under its own policy."""
    markets = sorted({(g.id.venue, g.id.key) for g in guards})
    names = {market: f"{market[0]}-{n}" for n, market in enumerate(markets, 1)}
    told = {(g.id.venue, g.id.key): g.market for g in guards}
    venues = [_venue(names[m], chain_name, m, told[m]) for m in markets]
    positions, policies = [], []
    for n, g in enumerate(guards, 1):
        policy = "default" if g.policy is None else f"policy-{n}"
        venue = names[g.id.venue, g.id.key]
        positions.append(position_table(f"position-{n}", venue, g.id.account, policy))
        policies.append(POLICY if g.policy is None else policy_table(policy, g.policy, g.why, g.thrifty))
    chain = chain_table(chain_name, chain_id, url)
    return file_text(chain, venues, positions, list(dict.fromkeys(policies)), state_dir)


def chain_table(name: str, chain_id: int, url: str) -> str:
    """``[[chains]]`` with one endpoint."""
    return f"""\
[[chains]]
name = {toml_text(name)}
chain_id = {chain_id}
# block_time_s = 12         # needed where the chain is not a known one and blocks come at another pace
# native_token = "0x..."    # the wrapped native token, where the chain is not a known one: it prices gas
# private_blocks = 2        # with a private endpoint: blocks before the same bytes go public
# mempool = true            # false: no fee outbids another (Arbitrum), the same bytes are sent again
# storm_gwei = 1000         # what gas may cost in a crash; the wallet's gas is measured by it

[[chains.endpoints]]        # in order of preference; two of different providers are better than one
name = "first"
url = {toml_text(url)}          # or url_file = "endpoint.url", when it holds a token
# ws_url = "wss://..."      # heads by subscription instead of polling
# rate_per_s = 10
# concurrency = 8

# [[chains.endpoints]]      # a private relay, if you have one: sent to first, never read from
# name = "relay"
# url = "https://relay.example"
# private = true            # bytes go public after private_blocks, after one when urgent, at once below emergency
# send_method = "eth_sendRawTransaction"    # or "eth_sendPrivateTransaction"
"""


def venue_table(name: str, chain: str, provider: str, *, kind: str = "aave_v3") -> str:
    """``[[venues]]``."""
    return f"""\
[[venues]]
name = {toml_text(name)}
kind = {toml_text(kind)}
chain = {toml_text(chain)}
provider = {toml_text(provider)}    # {"the market's PoolAddressesProvider" if kind == "aave_v3" else "its contract"}
"""


def _venue(name: str, chain: str, at: tuple[str, str], market: VenueSettings | None) -> str:
    """``[[venues]]`` of one market: what the protocol's contract is, and its id where that holds many."""
    if market is None or market.market is None:
        provider = at[1] if market is None else market.provider
        return venue_table(name, chain, provider, kind=at[0])
    return f"""\
[[venues]]
name = {toml_text(name)}
kind = {toml_text(market.kind)}
chain = {toml_text(chain)}
provider = {toml_text(market.provider)}    # the contract that holds every market
market = {toml_text(market.market)}
{_further(market)}"""


def _further(market: VenueSettings) -> str:
    """What else a market of such a contract may name."""
    if market.kind == "gmx_v2":
        return """\
# subaccount = "0x..."    # the keeper's wallet, once added: `keeper grant --subaccount LABEL`; else watched only.
#                           Where the wallet is the account itself: that, and the ExchangeRouter as provider
# spread_bps = 5          # how far signed prices may run ahead of the feeds, against you on both sides
"""
    dollars = market.usd_feed or "0x..."
    hint = "a feed of the loan token in dollars, or an Aave oracle that lists it: caps need it"
    return f"""\
{"" if market.usd_feed else "# "}usd_feed = {toml_text(dollars)}    # {hint}
# pre_liquidations = ["0x..."]    # PreLiquidation contracts that you authorised: their line is the one that counts
"""


def position_table(label: str, venue: str, account: str, policy: str) -> str:
    """``[[positions]]``."""
    return f"""\
[[positions]]
label = {toml_text(label)}
venue = {toml_text(venue)}
account = {toml_text(account)}
policy = {toml_text(policy)}
"""


def policy_table(name: str, policy: Policy, why: str, thrifty: Policy | None = None) -> str:
    """``[policies.NAME]`` with every number written out, and above it the reason for them."""
    reason = "\n".join(wrap(why, 108, initial_indent="# ", subsequent_indent="# "))
    health = {
        key: toml_text(decimal_text(wad, 18))
        for key, wad in (
            ("warn", policy.warn_wad),
            ("trigger", policy.trigger_wad),
            ("target", policy.target_wad),
            ("emergency", policy.emergency_wad),
            ("max_health", policy.max_health_wad),
            ("hysteresis", policy.hysteresis_wad),
        )
    }
    caps = policy.caps
    return f"""\
{reason}
[policies.{name}]
warn = {health["warn"]}             # below: an alarm
trigger = {health["trigger"]}          # below: act
target = {health["target"]}           # restore to here
emergency = {health["emergency"]}        # below: gas cap and cooldown are relaxed (never removed)
max_health = {health["max_health"]}       # never above after acting
hysteresis = {health["hysteresis"]}
cooldown_blocks = {policy.cooldown_blocks}
act = {toml_text(policy.act)}            # a crossed trigger is a promise; "break_even" weighs costs first
strategies = [{", ".join(toml_text(s) for s in policy.strategies)}]
idle_rate = {policy.idle_rate!r}            # what the wallet's idle capital would earn a year
horizon_days = {policy.horizon_days!r}          # how long rescue capital is expected to stay tied up
{_lead(policy)}{_thrifty(thrifty)}
[policies.{name}.caps]      # whole dollars, whatever the price does
per_action_usd = {caps.per_action_usd}
per_day_usd = {caps.per_day_usd}
gas_usd_max = {caps.gas_usd_max}
gas_usd_emergency = {caps.gas_usd_emergency}
gas_loss_pct = {caps.gas_loss_pct}           # gas at most this share of what a liquidation would cost
"""


def _lead(policy: Policy) -> str:
    """How far a sale is sized ahead of the price; nothing where it is not."""
    if not policy.lead_bps:
        return ""
    lead = toml_text(decimal_text(policy.lead_bps, 2))
    return f"lead_pct = {lead}         # a sale through an Executor still does its work after prices moved so far\n"


def _thrifty(policy: Policy | None) -> str:
    """The cheaper way as comments, with its reason; empty where none is offered."""
    if policy is None:
        return ""
    pairs = (
        ("target", policy.target_wad),
        ("max_health", policy.max_health_wad),
        ("hysteresis", policy.hysteresis_wad),
    )
    lines = "".join(f"# {key} = {toml_text(decimal_text(wad, 18))}\n" for key, wad in pairs)
    return f"""\
# Thrifty, for who sells by an Executor: as little as is of use, and more at once where gas is dear. So twelve crashes
# were replayed (what came of it: docs/reference/replay.md). After a rescue the level may stay WATCH:
{lines}# stretch = true
"""


def toml_text(value: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return dumps(value)


_text = toml_text

"""The text of a new keeper.toml: every key that matters, with its default and a word on it."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps

from keeper.model import PositionId

HEAD = """\
# keeper.toml - what to guard, how, and within which limits. Every key: docs/reference/config.md
schema = 1
mode = "dry-run"            # "live" sends transactions; it needs [wallet] and `keeper arm`
# state_dir = "~/.local/state/keeper"     # journal, control socket, compiled kernels

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
# horizon_days = 30         # how long rescue capital is expected to stay tied up

[policies.default.caps]     # whole dollars, whatever the price does
per_action_usd = 10000
per_day_usd = 25000
gas_usd_max = 50            # one action's gas in ordinary times
gas_usd_emergency = 500     # hard ceiling below emergency

[shocks]
ladder_pct = [-5, -10, -20, -30, -40, -50]    # moves of every price at once, in per cent
"""
NO_POSITION = """\
# [[positions]]             # one table each; the keeper starts only with at least one
# label = "my vault"
# venue = "aave"
# account = "0x..."         # EIP-55
# policy = "default"
"""


def file_text(chain: str, venues: Sequence[str], positions: Sequence[str]) -> str:
    """The whole file."""
    return "\n".join([HEAD, chain, *venues, *(positions or [NO_POSITION]), POLICY])


def from_positions(chain_name: str, chain_id: int, url: str, ids: Sequence[PositionId]) -> str:
    """The file that guards ``ids`` (all on one chain) under the default policy."""
    markets = sorted({(id.venue, id.key) for id in ids})
    names = {market: f"{market[0]}-{n}" for n, market in enumerate(markets, 1)}
    venues = [venue_table(names[m], chain_name, m[1], kind=m[0]) for m in markets]
    positions = [
        position_table(f"position-{n}", names[id.venue, id.key], id.account) for n, id in enumerate(ids, 1)
    ]
    return file_text(chain_table(chain_name, chain_id, url), venues, positions)


def chain_table(name: str, chain_id: int, url: str) -> str:
    """``[[chains]]`` with one endpoint."""
    return f"""\
[[chains]]
name = {_text(name)}
chain_id = {chain_id}

[[chains.endpoints]]        # in order of preference; two of different providers are better than one
name = "first"
url = {_text(url)}          # or url_file = "endpoint.url", when it holds a token
# ws_url = "wss://..."      # heads by subscription instead of polling
# rate_per_s = 10
# concurrency = 8
"""


def venue_table(name: str, chain: str, provider: str, *, kind: str = "aave_v3") -> str:
    """``[[venues]]``."""
    return f"""\
[[venues]]
name = {_text(name)}
kind = {_text(kind)}
chain = {_text(chain)}
provider = {_text(provider)}    # the market's PoolAddressesProvider
"""


def position_table(label: str, venue: str, account: str) -> str:
    """``[[positions]]`` under the default policy."""
    return f"""\
[[positions]]
label = {_text(label)}
venue = {_text(venue)}
account = {_text(account)}
policy = "default"
"""


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return dumps(value)

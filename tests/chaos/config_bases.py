"""Whole configurations that between them hold every section and kind of venue; each is accepted as it stands."""

from __future__ import annotations

A, B = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e", "0xcA11bde05977b3631167028862bE2a173976CA11"
C, D, E, F, G = ("0x" + f"{n:02d}" * 20 for n in (11, 22, 33, 44, 55))
KEY = "0x" + "a1b2" * 16
TOKEN = "t0ken0of0an0endpoint"
"""In every URL, where it must never be told again."""
LOAN = f"""schema = 1
mode = "live"
state_dir = "state"
[wallet]
address = "{B}"
keystore = "credential:keystore"
password_file = "credential:password"
[[chains]]
name = "mainnet"
chain_id = 1
block_time_s = 12
mempool = true
private_blocks = 2
storm_gwei = 1000
[[chains.endpoints]]
name = "first"
url = "https://first.example/{TOKEN}"
rate_per_s = 10
[[chains.endpoints]]
name = "second"
url = "https://second.example/{TOKEN}"
ws_url = "wss://second.example/{TOKEN}"
[[chains.endpoints]]
name = "relay"
url = "https://relay.example/{TOKEN}"
private = true
send_method = "eth_sendPrivateTransaction"
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "mainnet"
provider = "{A}"
[[positions]]
label = "vault"
venue = "aave"
account = "{B}"
policy = "careful"
[[positions]]
label = "other"
venue = "aave"
account = "{A}"
[policies.careful]
warn = "1.50"
trigger = "1.25"
target = "1.40"
emergency = "1.10"
max_health = "1.60"
hysteresis = "0.02"
cooldown_blocks = 5
act = "always"
strategies = ["repay", "add_collateral"]
idle_rate = "0.05"
horizon_days = "7"
[policies.careful.caps]
per_action_usd = 5000
per_day_usd = 10000
gas_usd_max = 50
gas_usd_emergency = 200
gas_loss_pct = 20
[policies.default]
warn = 1.5
trigger = 1.25
target = 1.4
emergency = 1.1
"""
TOLD = """[shocks]
ladder_pct = [-5, -20, -50]
[alarms]
targets_file = "targets"
quiet = "23:00-07:00"
zone = "Europe/Berlin"
escalate_after_minutes = 15
dead_man_file = "credential:dead-man"
dead_man_every_s = 60
summary_at = "08:00"
[metrics]
listen = "127.0.0.1:9464"
[page]
listen = "0.0.0.0:8467"
hosts = ["keeper.example"]
token_file = "credential:page"
[telegram]
token_file = "credential:telegram"
chats = [4711]
second_factor_file = "second-factor"
api = "https://telegram.example"
"""
SALES = f"""schema = 1
mode = "live"
state_dir = "state"
[wallet]
address = "{B}"
signer = "unix:/run/keeper/signer.sock"
[[chains]]
name = "mainnet"
chain_id = 1
native_token = "{C}"
uniswap_quoter = "{D}"
uniswap_router = "{E}"
swap_via = ["{C}"]
uptime_feed = "{F}"
[chains.aggregator]
name = "0x"
router = "{A}"
url = "https://aggregator.example/{TOKEN}"
[[chains.timelocks]]
kind = "aave_payloads"
address = "{D}"
[[chains.tickers]]
name = "kraken"
[[chains.tickers]]
name = "coinbase"
url = "https://ticker.example/{TOKEN}"
[[chains.endpoints]]
url = "https://first.example/{TOKEN}"
[[chains.endpoints]]
url = "https://second.example/{TOKEN}"
concurrency = 16
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "mainnet"
provider = "{A}"
[[venues]]
name = "morpho"
kind = "morpho_blue"
chain = "mainnet"
provider = "{C}"
market = "0x{"5c" * 32}"
usd_feed = "{D}"
pre_liquidations = ["{E}"]
[[positions]]
label = "tiny"
venue = "aave"
account = "{A}"
[[positions]]
label = "loop"
venue = "aave"
account = "{D}"
executor = "{E}"
policy = "sale"
accept_thin_emergency = true
[[positions]]
label = "lent"
venue = "morpho"
account = "{D}"
executor = "{F}"
policy = "limits"
[policies.sale]
strategies = ["repay_from_reserve", "deleverage", "close_position", "trailing_stop", "take_profit"]
stress_pct = 20
ladder = true
close_at = "1.12"
close_prices = {{ WETH = "1500" }}
close_to = "debt"
trail_pct = {{ WETH = "15" }}
take_profit = {{ WETH = "4000" }}
close_above_trigger = true
deleverage_times = 3
stretch = true
lead_pct = 2
leverage_target = 2
leverage_max = "2.5"
leverage_cost_pct = "0.5"
storm_times_max = 2
[policies.limits]
strategies = ["deleverage", "exposure_limits", "depeg_playbook", "floor"]
exposure_max_usd = {{ "asset:WETH" = 60000, "issuer:Circle" = 100000 }}
depeg_pct = 2
floor_usd = 20000
floor_times = 4
floor_ratchet_pct = 80
reduce_above_trigger = true
warning_target = "0.05"
warning_trigger = "0.03"
{TOLD}[canary]
position = "tiny"
every_hours = 168
gain = "0.02"
value_usd_max = 1000
spend_usd_max = 25
gas_usd_max = 10
within_blocks = 30
"""
HEDGED = f"""schema = 1
mode = "live"
state_dir = "state"
[wallet]
address = "{B}"
keystore = "credential:keystore"
password_file = "credential:password"
[[chains]]
name = "arbitrum"
chain_id = 42161
mempool = false
[[chains.endpoints]]
url = "https://first.example/{TOKEN}"
[[chains.endpoints]]
url = "https://second.example/{TOKEN}"
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "arbitrum"
provider = "{A}"
[[venues]]
name = "shorts"
kind = "gmx_v2"
chain = "arbitrum"
provider = "{C}"
market = "{C}:{D}:short"
reader = "{E}"
subaccount = "{B}"
spread_bps = 20
[[venues]]
name = "longs"
kind = "gmx_v2"
chain = "arbitrum"
provider = "{D}"
market = "{C}:{D}:long"
subaccount = "{B}"
[[positions]]
label = "loan"
venue = "aave"
account = "{E}"
executor = "{F}"
[[positions]]
label = "short"
venue = "shorts"
account = "{E}"
policy = "perp"
[[positions]]
label = "long"
venue = "longs"
account = "{E}"
policy = "stopped"
[policies.default]
strategies = ["repay_from_reserve", "repay"]
[policies.perp]
strategies = ["add_margin", "reduce_perp", "stop_on_venue"]
[policies.stopped]
strategies = ["reduce_perp", "close_perp"]
close_at = "1.15"
[[pairs]]
loan = "loan"
short = "short"
assets = ["WETH", "wstETH"]
trigger = "1.15"
target = "1.30"
cover_pct = 50
short_health = "1.1"
take_profit = true
patience_s = 60
[pairs.hedge]
key = "{G}"
keystore = "credential:hedge"
password_file = "credential:hedge-password"
share_pct = 50
notional_usd_max = 10000
action_usd_max = 2000
day_usd_max = 5000
band_pct = 10
leverage = 3
funding_year_max_pct = 40
slip_bps = 100
{TOLD}"""
STANDBY = f"""schema = 1
mode = "live"
state_dir = "state"
[wallet]
address = "{B}"
keystore = "credential:keystore"
password_file = "credential:password"
[[chains]]
name = "mainnet"
chain_id = 1
[[chains.endpoints]]
url = "https://first.example/{TOKEN}"
[[chains]]
name = "base"
chain_id = 8453
[[chains.endpoints]]
url = "https://third.example/{TOKEN}"
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "mainnet"
provider = "{A}"
[[venues]]
name = "maker"
kind = "maker"
chain = "mainnet"
provider = "{C}"
market = "ETH-A"
proxy = "{D}"
vaults = [31417]
[[venues]]
name = "comet"
kind = "compound_v3"
chain = "base"
provider = "{E}"
[[positions]]
label = "loop"
venue = "aave"
account = "{D}"
executor = "{E}"
[[positions]]
label = "cdp"
venue = "maker"
account = "{F}"
executor = "{C}"
[[positions]]
label = "base"
venue = "comet"
account = "{D}"
executor = "{F}"
[policies.default]
strategies = ["deleverage", "supply_from_reserve"]
[standby]
blocks = 3
margin = "0.01"
{TOLD}"""
BASES = (LOAN, SALES, HEDGED, STANDBY)
__all__ = ["BASES", "HEDGED", "KEY", "LOAN", "SALES", "STANDBY", "TOKEN", "A", "B"]

"""Mutated configurations: each is refused in words or is harmless, and never a traceback.

What is harmful is judged here by rules of its own, not by the parser's.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from eth_utils.address import is_checksum_address

from keeper.config import Settings, parse
from keeper.errors import ConfigError
from keeper.units import WAD
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict

A, B = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e", "0xcA11bde05977b3631167028862bE2a173976CA11"
KEY = "0x" + "a1b2" * 16
BATCH = 100
CONFIGS = 20_000
WHOLE = f"""schema = 1
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
url = "https://first.example/token"
rate_per_s = 10
[[chains.endpoints]]
name = "second"
url = "https://second.example/token"
ws_url = "wss://second.example/token"
[[chains.endpoints]]
name = "relay"
url = "https://relay.example/token"
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
VALUES = (
    "0", "-1", "1", "1.0", '"1.0"', '"0.99"', '"1.2"', "125", '"125"', '"120%"', "1e400", "nan",
    "inf", '"inf"', '"NaN"', "true", "[]", "{}", '""', '" "', '"0x"', f'"{A.lower()}"',
    f'"{A[:-1]}0"', f'"{KEY}"', "9" * 30, "1.0000000000000000001", '"1.25e0"', "2026-01-01",
    '"live"', '"dry-run"', '"LIVE"', '"never"', '["nope"]', '["repay", "repay"]', '"ftp://x"',
    '"http://"', '"https://u:p@h/t?k=v"', '"../../etc"', '"\\u0000"', "0x10",
)  # fmt: skip
_LEAST_GAP_WAD = WAD // 1000


def mutate(rng: random.Random) -> str:
    """One to four changes to a whole configuration."""
    lines = WHOLE.splitlines()
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        at = rng.randrange(len(lines))
        change = rng.random()
        if change < 0.45 and "=" in lines[at]:
            lines[at] = lines[at].split("=")[0] + "= " + rng.choice(VALUES)
        elif change < 0.55:
            del lines[at]
        elif change < 0.65:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif change < 0.75:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif change < 0.85 and "=" in lines[at]:
            name, _, value = lines[at].partition("=")
            number = re.search(r"\d+(\.\d+)?", value)
            factor = rng.choice((-1, 0, 0.1, 0.8, 0.9, 1.1, 1.5, 10, 100, 1e9))
            if number:
                lines[at] = f"{name}={value.replace(number[0], str(float(number[0]) * factor), 1)}"
        elif lines[at]:
            i = rng.randrange(len(lines[at]))
            junk = rng.choice(("", chr(rng.randrange(1, 0x250)), '"', "\\", "[", "=", "\n", "#"))
            lines[at] = lines[at][:i] + junk + lines[at][i + 1 :]
    return "\n".join(lines) + "\n"


def dangerous(settings: Settings) -> str:
    """Why nobody should guard money with these settings, or an empty string."""
    if "\0" in str(settings.state_dir):
        return "a state folder that no system call takes"
    if settings.mode not in ("live", "dry-run"):
        return f"mode {settings.mode}"
    w = settings.wallet
    if settings.mode == "live" and not (w.address and w.keystore and w.password_file):
        return "live without a wallet"
    for p in settings.policies:
        if not WAD < p.emergency_wad < p.trigger_wad < p.warn_wad:
            return f"{p.name}: the thresholds are out of order"
        if p.target_wad < p.trigger_wad + _LEAST_GAP_WAD or p.target_wad < p.trigger_wad + p.hysteresis_wad:
            return f"{p.name}: target {p.target_wad} is not clearly above trigger {p.trigger_wad}"
        if p.max_health_wad <= p.target_wad:
            return f"{p.name}: max_health is not above target"
        if p.trigger_wad > 100 * WAD:
            return f"{p.name}: trigger {p.trigger_wad / WAD} can only be a percentage"
        c = p.caps
        if not (0 < c.per_action_usd <= c.per_day_usd and 0 < c.gas_usd_max <= c.gas_usd_emergency):
            return f"{p.name}: caps {c}"
        if not 1 <= c.gas_loss_pct <= 100:
            return f"{p.name}: gas may cost {c.gas_loss_pct} per cent of the loss"
        if p.act not in ("always", "break_even") or not p.strategies or p.cooldown_blocks < 0:
            return f"{p.name}: act {p.act}, strategies {p.strategies}, cooldown {p.cooldown_blocks}"
        if not (0 <= p.idle_rate < 1e3 and 0 <= p.horizon_days < 1e6):
            return f"{p.name}: idle rate {p.idle_rate}, horizon {p.horizon_days}"
    return _wiring(settings)


def _wiring(settings: Settings) -> str:
    """What is named must exist, once, and be an address where it is one."""
    names = {
        "chains": [c.name for c in settings.chains],
        "venues": [v.name for v in settings.venues],
        "policies": [p.name for p in settings.policies],
        "labels": [p.label for p in settings.positions],
        "positions": [(p.venue, p.account.lower()) for p in settings.positions],
    }
    for what, found in names.items():
        if len(set(found)) != len(found):
            return f"{what}: one is there twice"
    for position in settings.positions:
        if position.venue not in names["venues"] or position.policy not in names["policies"]:
            return f"{position.label}: venue or policy does not exist"
    addresses = [p.account for p in settings.positions] + [v.provider for v in settings.venues]
    addresses += [c.multicall for c in settings.chains] + [settings.wallet.address or A]
    if wrong := [a for a in addresses if not is_checksum_address(a)]:
        return f"no EIP-55 address: {wrong}"
    for chain in settings.chains:
        if chain.chain_id <= 0 or not 0 < chain.block_time_s < 1e6 or not chain.endpoints:
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
    if any(v.chain not in names["chains"] for v in settings.venues):
        return "a venue on a chain that does not exist"
    return "a key is shown" if KEY[2:] in repr(settings) else ""


def one(rng: random.Random) -> tuple[str, str]:
    """(accepted, refused or failed; what is wrong) of one mutated configuration."""
    text = mutate(rng)
    try:
        settings = parse(text, Path("/nowhere/keeper.toml"))
    except ConfigError as error:
        if not error.problems or KEY[2:] in str(error):
            return "failed", f"a refusal without words, or one that repeats a key: {error}"
        return "refused", ""
    # whatever else comes out is a traceback for the user
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error} of {text!r}"
    why = dangerous(settings)
    return ("failed", f"accepted although {why}: {text!r}") if why else ("accepted", "")


def fuzz(seed: int, many: int = BATCH) -> Verdict:
    """``many`` mutated configurations."""
    rng, counts, failure = random.Random(seed), {"accepted": 0, "refused": 0, "failed": 0}, ""
    for _ in range(many):
        kind, why = one(rng)
        counts[kind] += 1
        failure = failure or why
    return Verdict(counts=counts, failure=failure)


def record_fuzz(counts: Counts, done: int, failures: list[str]) -> None:
    """config_fuzz, config_fuzz_dangerous."""
    n, bad = done * BATCH, counts.get("failed", 0)
    record("config_fuzz", n, bound=f">= {CONFIGS}", holds=n >= CONFIGS, evidence="own_double", n=n)
    record("config_fuzz_dangerous", bad, bound="= 0", holds=bad == 0, evidence="own_double", n=n)


CONFIG = Campaign(name="config", units=CONFIGS // BATCH, run=fuzz, record=record_fuzz, also=())

"""Mutated configurations: each is refused in words or is harmless, and never a traceback.

They are mutated from files that hold every section; what is harmful is judged by rules of its own, not the parser's.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from keeper.config import parse
from keeper.errors import ConfigError
from tests.bench.figures import record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.config_bases import BASES, KEY, TOKEN, A
from tests.chaos.config_judge import dangerous

BATCH = 100
CONFIGS = 20_000
VALUES = (
    "0", "-1", "1", "1.0", '"1.0"', '"0.99"', '"1.2"', "125", '"125"', '"120%"', "1e400", "nan",
    "inf", '"inf"', '"NaN"', "true", "[]", "{}", '""', '" "', '"0x"', f'"{A.lower()}"',
    f'"{A[:-1]}0"', f'"{KEY}"', "9" * 30, "1.0000000000000000001", '"1.25e0"', "2026-01-01",
    '"live"', '"dry-run"', '"LIVE"', '"never"', '["nope"]', '["repay", "repay"]', '"ftp://x"',
    '"http://"', '"https://u:p@h/t?k=v"', '"../../etc"', '"\\u0000"', "0x10",
    '"0.0.0.0:80"', '"127.0.0.1:0"', '"unix:"', '"unix:/run/s"', '["*"]', "[-5]", "false", "{ WETH = 0 }",
    '{ WETH = "-1" }', '{ "asset:WETH" = 1 }', '{ "owner:X" = 1 }', '["deleverage"]', '["reduce_perp"]',
    '["close_position"]', '"credential:../x"', '"Mars/Olympus"', '"24:00"', '"short"', '"vault"',
)  # fmt: skip


def mutate(rng: random.Random, base: str) -> str:
    """One to four changes to a whole configuration."""
    lines = base.splitlines()
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        at = rng.randrange(len(lines))
        change = rng.random()
        if change < 0.37 and "=" in lines[at]:
            lines[at] = lines[at].split("=")[0] + "= " + rng.choice(VALUES)
        elif change < 0.45 and "=" in lines[at]:
            # what is right elsewhere: one position's account, one key's address, one line's health
            other = rng.choice([line for line in lines if "=" in line])
            lines[at] = lines[at].split("=")[0] + "=" + other.partition("=")[2]
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


def one(rng: random.Random, base: str) -> tuple[str, str]:
    """(accepted, refused or failed; what is wrong) of one mutated configuration."""
    text = mutate(rng, base)
    try:
        settings = parse(text, Path("/nowhere/keeper.toml"))
    except ConfigError as error:
        if not error.problems or KEY[2:] in str(error) or TOKEN in str(error):
            return "failed", f"a refusal without words, or one that repeats a key or a URL: {error}"
        return "refused", ""
    # whatever else comes out is a traceback for the user
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error} of {text!r}"
    why = dangerous(settings)
    return ("failed", f"accepted although {why}: {text!r}") if why else ("accepted", "")


def fuzz(seed: int, many: int = BATCH) -> Verdict:
    """``many`` mutated configurations, from one base after another."""
    rng, counts, failure = random.Random(seed), {"accepted": 0, "refused": 0, "failed": 0}, ""
    for i in range(many):
        kind, why = one(rng, BASES[(seed + i) % len(BASES)])
        counts[kind] += 1
        failure = failure or why
    return Verdict(counts=counts, failure=failure)


def record_fuzz(counts: Counts, done: int, failures: list[str]) -> None:
    """config_fuzz, config_fuzz_dangerous."""
    n, bad = done * BATCH, counts.get("failed", 0)
    record("config_fuzz", n, bound=f">= {CONFIGS}", holds=n >= CONFIGS, evidence="own_double", n=n)
    record("config_fuzz_dangerous", bad, bound="= 0", holds=bad == 0, evidence="own_double", n=n)


CONFIG = Campaign(name="config", units=CONFIGS // BATCH, run=fuzz, record=record_fuzz, also=())

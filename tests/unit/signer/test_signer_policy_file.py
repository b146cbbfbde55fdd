"""The policy as a file that a person reviews: what is written is what is read, and what is odd is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper.allowed import AllowedCall, Argument, Venued
from keeper.errors import ConfigError
from keeper.executor import perp_bounded
from keeper.signer.bounded import AllowedBounded
from keeper.signer.calls import calls_of
from keeper.signer.perps import AllowedCancel, AllowedPerp
from keeper.signer.policy import SigningPolicy
from keeper.signer.policy_file import load, to_text
from keeper.signer.store import DayCaps

pytestmark = pytest.mark.unit

ROUTER, VAULT, MARKET, USDC, INDEX, OWNER, PROXY, WALLET = (
    "0x" + f"{n:02x}" * 20 for n in (0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8)
)
PERP = Venued(
    spender=ROUTER,
    units_max={USDC: 2**70},
    accounts=(OWNER, WALLET),
    terms=(ROUTER, VAULT, MARKET, USDC, 1, INDEX),
    prices={INDEX: 2_000 * 10**12},
    fee_wei_max=10**17,
)
MAKER = Venued(
    spender=PROXY, units_max={}, accounts=(), terms=(ROUTER, VAULT, MARKET, USDC, INDEX, OWNER, 9, 13)
)
CAPS = DayCaps(fee_wei=2**80, units={USDC: 2**90})
BARE = SigningPolicy(
    chain_id=1,
    address=WALLET,
    calls=(
        AllowedCall(
            target=ROUTER,
            name="supply",
            arguments=(
                Argument(kind="address", among=frozenset({USDC, INDEX})),
                Argument(kind="uint256", at_most=2**70),
                Argument(kind="uint16", among=frozenset({0})),
            ),
        ),
        AllowedCall(
            target=ROUTER,
            name="deposit",
            signature="deposit((address,uint256))",
            arguments=(Argument(kind="uint256", at_most=5),),
            spends=(0, 1),
        ),
    ),
    fee_wei_max=10**18,
)
FULL = replace(
    BARE,
    calls=(
        *BARE.calls,
        *calls_of("maker", MAKER),
        *calls_of("gmx_v2", PERP),
        *calls_of("gmx_v2", replace(PERP, terms=(PROXY, *PERP.terms[1:], 1))),
    ),
)
WRITTEN = f"""\
{{
 "chain_id": 1,
 "address": "{WALLET}",
 "fee_wei_max": "1000000000000000000",
 "fee_wei_per_day": "1208925819614629174706176",
 "units_per_day": {{
  "{USDC}": "1237940039285380274899124224"
 }},
 "calls": [
  {{
   "target": "{ROUTER}",
   "name": "supply",
   "arguments": [
    {{
     "kind": "address",
     "among": [
      "{USDC}",
      "{INDEX}"
     ]
    }},
    {{
     "kind": "uint256",
     "at_most": "1180591620717411303424"
    }},
    {{
     "kind": "uint16",
     "among": [
      "0"
     ]
    }}
   ]
  }},
  {{
   "target": "{ROUTER}",
   "name": "deposit",
   "arguments": [
    {{
     "kind": "uint256",
     "at_most": "5"
    }}
   ],
   "signature": "deposit((address,uint256))",
   "spends": [
    0,
    1
   ]
  }}
 ]
}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    """A policy of that text, as only its owner may read it."""

    def written(text: str) -> Path:
        path = tmp_path / "policy.json"
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    return written


def test_text__of_one_policy__is_the_same_to_the_byte_whoever_writes_it() -> None:
    """A person compares it with what he reviewed before."""
    assert to_text(BARE, CAPS) == WRITTEN


def test_file__of_every_kind_of_rule__reads_back_the_same(file: Callable[[str], Path]) -> None:
    kinds = {type(c).__name__ for c in FULL.calls}
    assert kinds == {"AllowedCall", "AllowedVault", "AllowedPerp", "AllowedCancel", "AllowedBounded"}
    assert load(file(to_text(FULL, CAPS))) == (FULL, CAPS)
    body = json.loads(to_text(FULL, CAPS))
    assert body["cancels"] == [ROUTER]
    assert body["perps"][0]["accounts"] == sorted([OWNER, WALLET])
    assert body["perps"][0]["units_max"] == str(2**70)
    assert [b["does"] for b in body["bounded"]] == ["takeBack", "addMargin", "reduce"]
    assert [v["numbers"] for v in body["vaults"]] == [[9, 13]] * 2


def test_file__of_a_slot_whose_index_has_no_price__still_lets_an_order_be_taken_back(
    file: Callable[[str], Path],
) -> None:
    only = replace(FULL, calls=(AllowedCancel(target=ROUTER),), orders=())
    policy, _ = load(file(to_text(only, CAPS)))
    assert policy.calls == only.calls


def test_file__with_addresses_in_another_case__binds_all_the_same(file: Callable[[str], Path]) -> None:
    key = perp_bounded.position_key(OWNER, MARKET, USDC, True)
    body = to_text(FULL, CAPS)
    for name in (OWNER, USDC, key):
        body = body.replace(name, "0x" + name[2:].upper())
    policy, caps = load(file(body))
    assert caps.units == {USDC: 2**90}
    (perp,) = (c for c in policy.calls if isinstance(c, AllowedPerp))
    assert perp.accounts == {OWNER, WALLET}
    assert all(key in c.positions for c in policy.calls if isinstance(c, AllowedBounded))
    first = policy.calls[0]
    assert isinstance(first, AllowedCall)
    assert first.arguments[0].among == frozenset({USDC, INDEX})


def body_with(at: tuple[Any, ...], value: object) -> str:
    body: Any = json.loads(to_text(FULL, CAPS))
    inner = body
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = value
    return json.dumps(body)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (("extra",), 1, r"members \['extra'\] are missing or unknown"),
        (("perps", 0, "long"), 1, "ValueError: long is neither true nor false"),
        (("perps", 0, "receiver"), WALLET, "TypeError"),
        (("perps", 0, "units_max"), None, "TypeError"),
        (("bounded", 0, "long"), "true", "ValueError: long is neither true nor false, or does is no call"),
        (("bounded", 1, "does"), "withdraw", "ValueError: long is neither .* or does is no call"),
        (("bounded", 1, "price_least"), "cheap", "ValueError"),
        (("vaults", 0, "wipes"), "no", "ValueError: wipes is neither true nor false"),
        (("vaults", 1, "numbers"), ["x"], "ValueError"),
        (("calls", 0, "arguments", 1), {"kind": "uint256"}, "KeyError: 'among'"),
        (("fee_wei_max",), None, "TypeError"),
        (("units_per_day",), [], "AttributeError"),
        (("orders",), [{"target": ROUTER}], "ValueError: order members"),
    ],
)
def test_file__with_one_odd_member__is_refused_by_name(
    file: Callable[[str], Path], at: tuple[Any, ...], value: object, words: str
) -> None:
    path = file(body_with(at, value))
    with pytest.raises(ConfigError, match=f"^{path}: .*{words}"):
        load(path)


@pytest.mark.parametrize("member", ["chain_id", "address", "fee_wei_max", "fee_wei_per_day", "calls"])
def test_file__with_a_member_missing__names_it(file: Callable[[str], Path], member: str) -> None:
    body = json.loads(WRITTEN)
    del body[member]
    with pytest.raises(ConfigError, match=rf"members \['{member}'\] are missing or unknown"):
        load(file(json.dumps(body)))

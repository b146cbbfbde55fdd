"""The guard's rules and the Executor over a hundred thousand generated states: the same yes, or the same no.

States and orders are made inside forge, on the real market (contracts/test/Parity.t.sol), and each order is
carried out or refused there. Here the same words are read as the daemon reads them, and the rules are asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from eth_abi.abi import decode, encode

from anvil.forge import ForgeReport, policy_parity
from keeper.executor import abi, read, rules
from keeper.executor.errors import Fault, fault_from
from keeper.executor.read import Listed, Post
from keeper.executor.rules import Deal, Moment, Purse
from keeper.model import Amount, Block, Mandate, PositionId, Side, Token
from keeper.words import Words
from tests.bench.figures import record
from tests.chaos.campaign import CONTRACTS, Campaign, Counts, Verdict

STATES = 100_000
A_UNIT = 1_000
_DEAL = "(uint256,uint256,uint256,bool,bool,uint256,uint256,uint256,uint256)"
_ROW = f"({abi.ORDER},(bool,bytes)[],uint256,uint256,uint256,{_DEAL},bool,bytes)"
_PAYMENT = "(uint8,uint64,address,uint256,uint64)"
_PAY_ROW = f"({_PAYMENT},(bool,bytes)[],uint256,uint256,uint256,(uint256,uint256,uint256,uint256,uint256),bool,bytes)"
REFUSALS = frozenset(
    {
        "NotBot", "IsPaused", "PositionUnknown", "WrongSeq", "PolicyExpired", "DeadlinePassed", "NotTriggered",
        "CoolingDown", "AssetUnknown", "RouterUnknown", "BadAmount", "SourceUnavailable", "FlashFeeTooHigh",
        "GrantShort", "TransferShort", "SellLimit", "SlippageExceeded", "SwapShort", "SpendCap", "BotCap",
        "NotImproved", "TargetMissed", "MaxHealthExceeded", "ReserveShort",
    }
)  # fmt: skip
"""What an order may be answered with by the Executor itself; the rules know each of them."""
PROTOCOL = "the protocol's own"
"""Refused by Aave, a token or a pool in its own words: no rule of the Executor's, and none of the guard's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One state and what was asked in it, with both answers: an error with its values, or None for yes."""

    ours: Fault | None
    theirs: Fault | None
    protocol: bool

    @property
    def same(self) -> bool:
        """Alike to the last value."""
        return self.protocol or self.ours == self.theirs

    @property
    def said(self) -> str:
        """The contract's answer in a word."""
        return PROTOCOL if self.protocol else self.theirs.name if self.theirs else "accepted"


def cases(first: int, many: int) -> Iterator[Case]:
    """So many generated states. Raises AssertionError where forge did not make them."""
    post = _post()
    asked = [(call.target, call.data) for call in read.calls(post)]
    report = policy_parity(first, many, "0x" + encode(["(address,bytes)[]"], [asked]).hex())
    orders, payments = _lines(report, "parity"), _lines(report, "payment")
    assert len(orders) + len(payments) == many, report.output[-3000:]
    for row in orders:
        yield _sale(post, row)
    for row in payments:
        yield _payment(post, row)


def _lines(report: ForgeReport, kind: str) -> list[bytes]:
    rows = (line.split() for line in report.output.splitlines() if line.startswith(f"  {kind} "))
    return [bytes.fromhex(row[1][2:]) for row in rows]


@lru_cache(maxsize=1)
def _post() -> Post:
    """Whom the daemon would guard: forge puts everything at the same places in every run."""
    places = decode(["address[12]"], _lines(policy_parity(0, 0), "posts")[0])[0]
    executor, owner, bot, pool, weth, usdc, a_weth, d_usdc, router, other, _, here = places
    tokens = {s: Token(chain_id=1, address=a, symbol=s, decimals=d)
              for s, a, d in (("WETH", weth, 18), ("USDC", usdc, 6))}  # fmt: skip
    return Post(
        id=PositionId(venue="aave_v3", chain_id=1, account=owner, key="x"),
        executor=executor,
        owner=owner,
        key="0x" + "00" * 12 + pool[2:],
        bot=bot,
        multicall=here,
        listed=(
            Listed(token=tokens["WETH"], side=Side.COLLATERAL, receipt=a_weth),
            Listed(token=tokens["USDC"], side=Side.DEBT, receipt=d_usdc),
        ),
        routers=(router, other),
    )


def _sale(post: Post, data: bytes) -> Case:
    # abi.encode of a struct is that of a tuple of one
    fields, answers, number, timestamp_s, health, deal, accepted, refusal = decode([_ROW], data)[0]
    order = abi.Order(**dict(zip(abi.Order.__slots__, fields, strict=True)))
    mandate = _mandate(post, answers, number, timestamp_s)
    at = Moment(block_number=mandate.block_number, timestamp_s=mandate.timestamp_s, health_wad=health)
    ours = rules.verdict(mandate, order, at, Deal(**dict(zip(Deal.__slots__, deal, strict=True))))
    return _judged(ours, accepted, refusal)


def _payment(post: Post, data: bytes) -> Case:
    fields, answers, number, timestamp_s, health, purse, accepted, refusal = decode([_PAY_ROW], data)[0]
    side, seq, address, units, deadline_s = fields
    token = next((x.token for x in post.listed if x.token.address == address), None)
    token = token or Token(chain_id=1, address=address, symbol="DAI", decimals=18)
    wanted = abi.PayIn(
        executor=post.executor,
        key=post.key,
        side=Side(side),
        seq=seq,
        amount=Amount(token=token, units=units),
        deadline_s=deadline_s,
    )
    mandate = _mandate(post, answers, number, timestamp_s)
    at = Moment(block_number=mandate.block_number, timestamp_s=mandate.timestamp_s, health_wad=health)
    ours = rules.pays(mandate, wanted, at, Purse(**dict(zip(Purse.__slots__, purse, strict=True))))
    return _judged(ours, accepted, refusal)


def _mandate(post: Post, answers: tuple[tuple[bool, bytes], ...], number: int, timestamp_s: int) -> Mandate:
    """As the daemon reads it, from the answers to the daemon's own questions."""
    block = Block(chain_id=1, number=number, hash="", parent_hash="", timestamp_s=timestamp_s, base_fee_wei=0)
    found = read.mandate(post, block, Words([encode(["(bool,bytes)[]"], [answers])], [len(answers)]))
    assert found is not None
    return found


def _judged(ours: Fault | None, accepted: bool, refusal: bytes) -> Case:
    theirs = None if accepted else fault_from(refusal)
    protocol = not accepted and (theirs is None or theirs.name not in REFUSALS)
    return Case(ours=ours, theirs=theirs, protocol=protocol)


def compared(first: int, many: int) -> Verdict:
    """Counts of every answer, and what differed."""
    said: Counter[str] = Counter()
    different = []
    for n, case in enumerate(cases(first, many), first):
        said[case.said] += 1
        if not case.same:
            different.append(f"state {n}: the guard says {case.ours}, the Executor {case.theirs}")
    counts = {"states": many, "mismatches": len(different), **{f"said {k}": v for k, v in said.items()}}
    return Verdict(counts=counts, failure="; ".join(different[:3]))


def record_parity(counts: Counts, done: int, failures: list[str]) -> None:
    """policy_parity_mismatches, and how the states were answered."""
    n, bad = counts.get("states", 0), counts.get("mismatches", 0)
    record("policy_parity_mismatches", bad, bound="0", holds=bad == 0 and n >= STATES,
           evidence="real_bytecode", n=n)  # fmt: skip
    never = REFUSALS - {k.removeprefix("said ") for k in counts}
    record("policy_parity_refusals_met", len(REFUSALS) - len(never), unit=f"of {len(REFUSALS)}",
           bound=str(len(REFUSALS)), holds=not never, evidence="real_bytecode", n=n)  # fmt: skip
    yes = 100 * counts.get("said accepted", 0) / n if n else 0.0
    record("policy_parity_accepted_pct", round(yes, 1), unit="%", bound=">= 5", holds=yes >= 5,
           evidence="real_bytecode", n=n)  # fmt: skip


def _unit(number: int) -> Verdict:
    return compared(number * A_UNIT, A_UNIT)


PARITY = Campaign(name="parity", units=STATES // A_UNIT, run=_unit, record=record_parity, also=CONTRACTS)

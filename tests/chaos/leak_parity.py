"""The daemon's guard and the Executor over a hundred thousand generated states: the same yes, or the same no.

States and orders are made inside forge, on the real market (contracts/test/Parity.t.sol), and each order is
carried out or refused there. Here the same words are read as the daemon reads them, and its guard is asked twice:

- the Executor's rules in the guard (``judge``), with what the market answered: the same answer, to the values named;
- the whole guard (``plan.check``) over a plan of that order, with what it foresees itself: where the worst end of the
  order is its end, the same answer by name; anywhere else it may be more careful, never less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address

from anvil.forge import ForgeReport, policy_parity
from keeper.executor import abi, judge, read
from keeper.executor.read import Listed, Post
from keeper.executor.rules import Deal, Halt, Purse
from keeper.model import Amount, Block, Mandate, PositionId, Side, Token
from keeper.words import Words
from tests.bench.figures import record
from tests.chaos import sources
from tests.chaos.campaign import ON_AAVE, Campaign, Counts, Verdict
from tests.chaos.leak_plans import Seen, guards
from tests.executor_faults import fault_from

STATES = 100_000
A_UNIT = 1_000
_DEAL = "(uint256,uint256,uint256,bool,bool,uint256,uint256,uint256,uint256,uint256[],uint256[],uint256)"
_ROW = f"({abi.ORDER},bytes,uint256,uint256,uint256,{_DEAL},bool,bytes,bytes)"
_PAYMENT = "(uint8,uint64,address,uint256,uint64)"
_PURSE = "(uint256,uint256,uint256,uint256,uint256,bool)"
_PAY_ROW = f"({_PAYMENT},bytes,uint256,uint256,uint256,{_PURSE},bool,bytes,bytes)"
_NEVER = 2**256 - 1
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
"""Refused by Aave, a token or a lender in its own words: the guard has a name for that too."""
_FOREIGN = frozenset({"venue_refuses", "no_source", "no_collateral"})
_BROKEN = bytes.fromhex("4e487b71")
"""``Panic(uint256)``: never an answer of the Executor's, whatever was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A refusal as the daemon names it; ``why`` is empty where the words are the protocol's."""

    code: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One state and what was asked in it: the guard's answer and the Executor's; None is yes."""

    ours: Answer | None
    theirs: Answer | None
    said: str
    """The contract's answer in a word."""
    plan: Seen
    """What the whole guard made of a plan of it."""

    @property
    def same(self) -> bool:
        """Alike to the last value, and the whole guard is never less careful."""
        alike = self.ours == self.theirs or (
            self.said == PROTOCOL and self.ours is not None and self.ours.code in _FOREIGN
        )
        return alike and self._guarded

    @property
    def _guarded(self) -> bool:
        if not self.plan.sayable:
            return True
        theirs = None if self.theirs is None else self.theirs.code
        if not self.plan.worst:
            return self.plan.code is not None or theirs is None
        return self.plan.code == theirs or (self.said == PROTOCOL and self.plan.code in _FOREIGN)


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
    executor, owner, bot, pool, weth, usdc, a_weth, d_usdc, router, other, _, here = map(
        to_checksum_address, places
    )
    tokens = {s: Token(chain_id=1, address=a, symbol=s, decimals=d)
              for s, a, d in (("WETH", weth, 18), ("USDC", usdc, 6))}  # fmt: skip
    return Post(
        id=PositionId(venue="aave_v3", chain_id=1, account=owner, key="x"),
        executor=executor,
        owner=owner,
        key="0x" + "00" * 12 + pool[2:].lower(),
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
    fields, answers, number, timestamp_s, health, found, accepted, *said = decode([_ROW], data)[0]
    order = abi.Order(**dict(zip(abi.Order.__slots__, fields, strict=True)))
    mandate = _mandate(post, answers, number, timestamp_s)
    *plain, sold, bought, halted = found
    deal = Deal(
        **dict(zip(Deal.__slots__, plain, strict=False)),
        steps=tuple(zip(sold, bought, strict=True)),
        halt=None if halted == _NEVER else Halt(code="venue_refuses", why="", step=halted),
    )
    no = judge.answers(mandate, order, health, deal)
    seen = guards(mandate, order, health, deal)
    return _judged(
        None if no is None else Answer(code=no.code, why=no.why), seen, accepted, (said[0], said[1])
    )


def _payment(post: Post, data: bytes) -> Case:
    fields, answers, number, timestamp_s, health, found, accepted, *said = decode([_PAY_ROW], data)[0]
    side, seq, address, units, deadline_s = fields
    token = next((x.token for x in post.listed if x.token.address == to_checksum_address(address)), None)
    token = token or Token(chain_id=1, address=to_checksum_address(address), symbol="DAI", decimals=18)
    wanted = abi.PayIn(
        executor=post.executor,
        key=post.key,
        side=Side(side),
        seq=seq,
        amount=Amount(token=token, units=units),
        deadline_s=deadline_s,
    )
    mandate = _mandate(post, answers, number, timestamp_s)
    *plain, taken = found
    halt = None if taken else Halt(code="venue_refuses", why="")
    purse = Purse(**dict(zip(Purse.__slots__, plain, strict=False)), halt=halt)
    no = judge.answers_pay_in(mandate, wanted, health, purse)
    seen = guards(mandate, wanted, health, purse)
    return _judged(
        None if no is None else Answer(code=no.code, why=no.why), seen, accepted, (said[0], said[1])
    )


def _mandate(post: Post, answers: bytes, number: int, timestamp_s: int) -> Mandate:
    """As the daemon reads it, from the answers to the daemon's own questions."""
    block = Block(chain_id=1, number=number, hash="", parent_hash="", timestamp_s=timestamp_s, base_fee_wei=0)
    found = read.mandate(post, block, Words([answers], [read.size(post)]))
    assert found is not None
    return found


def _judged(ours: Answer | None, seen: Seen, accepted: bool, refused: tuple[bytes, bytes]) -> Case:
    """``refused``: what the Executor said, and what the protocol said to the same without it."""
    refusal, own = refused
    if accepted:
        return Case(ours=ours, theirs=None, said="accepted", plan=seen)
    fault = fault_from(refusal)
    if fault is None or fault.name not in REFUSALS:
        said = "panic" if refusal[:4] == _BROKEN else "another's" if fault is None else fault.name
        # Aave's token panics where less is held than is taken: the same bytes, without the Executor
        said = PROTOCOL if own and refusal == own else said
        theirs = Answer(code="", why=refusal.hex() if fault is None else fault.name)
        return Case(ours=ours, theirs=theirs, said=said, plan=seen)
    told = judge.told(fault)
    return Case(ours=ours, theirs=Answer(code=told.code, why=told.why), said=fault.name, plan=seen)


def compared(first: int, many: int) -> Verdict:
    """Counts of every answer, and what differed."""
    said: Counter[str] = Counter()
    plans: Counter[str] = Counter()
    different = []
    for n, case in enumerate(cases(first, many), first):
        said[case.said] += 1
        plans["plans"] += case.plan.sayable
        plans["plans to the end"] += case.plan.worst
        if not case.same:
            different.append(
                f"state {n}: the guard says {case.ours} ({case.plan}), the Executor {case.theirs}"
            )
    counts = {"states": many, "mismatches": len(different), **plans}
    counts |= {f"said {k}": v for k, v in said.items()}
    return Verdict(counts=counts, failure="; ".join(different[:3]))


def record_parity(counts: Counts, done: int, failures: list[str]) -> None:
    """policy_parity_mismatches, and how the states were answered."""
    n, bad = counts.get("states", 0), counts.get("mismatches", 0)
    record("policy_parity_mismatches", bad, bound="0", holds=bad == 0 and n >= STATES,
           evidence="real_bytecode", n=n)  # fmt: skip
    record("policy_parity_plans", counts.get("plans to the end", 0), bound=">= 10000", evidence="real_bytecode", n=n,
           holds=counts.get("plans to the end", 0) >= STATES // 10)  # fmt: skip
    never = REFUSALS - {k.removeprefix("said ") for k in counts}
    record("policy_parity_refusals_met", len(REFUSALS) - len(never), unit=f"of {len(REFUSALS)}",
           bound=str(len(REFUSALS)), holds=not never, evidence="real_bytecode", n=n)  # fmt: skip
    yes = 100 * counts.get("said accepted", 0) / n if n else 0.0
    record("policy_parity_accepted_pct", round(yes, 1), unit="%", bound=">= 5", holds=yes >= 5,
           evidence="real_bytecode", n=n)  # fmt: skip


def _unit(number: int) -> Verdict:
    return compared(number * A_UNIT, A_UNIT)


PARITY = Campaign(
    name="parity",
    units=STATES // A_UNIT,
    run=_unit,
    record=record_parity,
    also=(*ON_AAVE, *sources.solidity("contracts/test/Parity.t.sol")),
)

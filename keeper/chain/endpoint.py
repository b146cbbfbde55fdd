"""One endpoint: its connection, its lane, its record, and the chain id that it must prove."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from keeper.chain.lane import Lane
from keeper.chain.payload import Calldata, Digits
from keeper.chain.refusal import About, about, elsewhere
from keeper.chain.rpc import QUANTITY, RateLimited, TooLarge, WrongChain
from keeper.config import EndpointSettings
from keeper.errors import Rejected, Transient
from keeper.seams import Clock, Priority

FAILURES_MAX = 3
"""Consecutive transport failures after which an endpoint is down."""
SHAKY_SHARE = 0.1
"""An endpoint that fails more of its requests than this is asked after those that do not."""
_SHAKY_WEIGHT = 0.05
"""Of the newest request in the running share: the last twenty or so count."""
_OWN_WORDS = frozenset({"eth_sendRawTransaction", "eth_getLogs"})
"""Pools, and limits of logs, have too many words of their own to tell a node's trouble by them."""
WORD_CHARS = 66
"""0x and one word: a batch of calls answers at least three."""


class Kind(StrEnum):
    """What happened to an endpoint."""

    UP = "up"
    DOWN = "down"
    WRONG_CHAIN = "wrong_chain"
    RATE_LIMITED = "rate_limited"
    RECOVERED = "recovered"
    LAGGING = "lagging"


class Fault(StrEnum):
    """Why a request got no usable answer. A node's own refusal, a revert among them, is an answer and no fault."""

    FAILED = "failed"
    """Unreachable, cut off, TLS, an HTTP error, or no JSON-RPC."""
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    WRONG_CHAIN = "wrong_chain"
    """Found to serve another chain; counted once until it is taken back."""


class State(StrEnum):
    """Whether an endpoint is asked."""

    NEW = "new"
    UP = "up"
    OUT = "out"
    LAGGING = "lagging"
    WRONG_CHAIN = "wrong_chain"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointEvent:
    """A change of an endpoint's fortune, for the log, the journal and the alarm."""

    name: str
    kind: Kind
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """One endpoint as the status page shows it."""

    name: str
    state: State
    latency_ms: float | None
    last_error: str
    head_number: int | None
    faults: tuple[tuple[str, int], ...] = ()
    """(kind, requests) since the endpoint was opened; every kind, also at 0."""


OnEvent = Callable[[EndpointEvent], None]


class Body(Protocol):
    """What ``Rpc`` is to an endpoint; a test puts a fake here."""

    connects: int

    async def call(self, method: str, params: Sequence[object], *, timeout_s: float) -> object: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request on its way; ``deadline_s`` is on the event loop's own clock."""

    method: str
    params: Sequence[object]
    priority: Priority
    deadline_s: float
    weight: int = 1

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline_s - asyncio.get_running_loop().time())

    @property
    def plain(self) -> bool:
        """Whether nothing but the node's own trouble can keep it from answering."""
        if self.method in ("eth_chainId", "eth_blockNumber"):
            return True
        asks = {"eth_getBlockByNumber": 0, "eth_getTransactionCount": 1}.get(self.method)
        return asks is not None and tuple(self.params[asks : asks + 1]) == ("latest",)

    def may_pass_on(self, error: Rejected) -> bool:
        """Whether another endpoint might answer what one refused. Limits of logs differ little from one to the next,
        and whoever asks for many blocks asks for fewer then.
        """
        return about(error) is About.COPY if self.method == "eth_getLogs" else elsewhere(error)

    def misshapen(self, result: object) -> bool:
        """Whether the result is plainly none: whoever reads it could only fail, with another endpoint unasked."""
        if self.method == "eth_getBlockByNumber" and tuple(self.params[:1]) == ("latest",):
            return not isinstance(result, dict) or not _quantity(result.get("number"))
        if self.method in ("eth_chainId", "eth_getTransactionCount"):
            return not _quantity(result)
        call = self.params[0] if self.params else None
        if self.method == "eth_call" and isinstance(call, dict) and isinstance(call.get("data"), Calldata):
            told = isinstance(result, str) and len(result) >= WORD_CHARS
            return not told and not isinstance(result, Digits)
        return False

    def height_in(self, result: object) -> int | None:
        """The chain's height, when this request asked for it."""
        told: object = None
        if self.method == "eth_blockNumber":
            told = result
        elif self.method == "eth_getBlockByNumber" and tuple(self.params[:1]) == ("latest",):
            told = result.get("number") if isinstance(result, dict) else None
        return int(told, 16) if isinstance(told, str) and QUANTITY.fullmatch(told) else None


def _quantity(told: object) -> bool:
    return isinstance(told, str) and QUANTITY.fullmatch(told) is not None


class Endpoint:
    """One endpoint of a chain. What needs to know the others is decided in ``Endpoints``."""

    def __init__(
        self, settings: EndpointSettings, chain_id: int, rpc: Body, clock: Clock, on_event: OnEvent
    ) -> None:
        self.name = settings.name
        self.rpc = rpc
        self.lane = Lane(settings.name, settings.rate_per_s, settings.concurrency, clock)
        self.state = State.NEW
        self.failures = 0
        self.faults = dict.fromkeys(Fault, 0)
        """Requests that got no usable answer, ever."""
        self.out_until_s = 0.0
        self.last_error = ""
        self.head_number: int | None = None
        self.moved_s = 0.0
        """When it first told ``head_number`` (monotonic)."""
        self.leapt = False
        """Whether it came there in one leap that no other endpoint bears out (``heights.py``)."""
        self.behind_s: float | None = None
        """Since when it is behind another (monotonic); None while it is not."""
        self.climbs = False
        """Whether its last step was longer than a chain makes in that time: it catches up."""
        self._failed_share = 0.0
        self._latency_ms: float | None = None
        self._chain_id = chain_id
        self._clock = clock
        self._on_event = on_event
        self._verified_at: int | None = None
        """``rpc.connects`` when the chain id was last seen right; None after a transport failure."""
        self._verifying = asyncio.Lock()
        self._out_s: list[float] = []
        """When the questions that it has not answered yet went out, oldest first, on the event loop's clock."""

    @property
    def well(self) -> bool:
        """Whether it can be relied on while another rests."""
        return self.state in (State.UP, State.LAGGING) and self.failures < FAILURES_MAX

    @property
    def shaky(self) -> bool:
        """Whether every now and then a request to it is lost: never often enough in a row to let it rest, but
        each costs a round trip, and the chain id's proof another."""
        return self._failed_share > SHAKY_SHARE

    @property
    def resting(self) -> bool:
        """Whether it was sent out for a while and that while is not over."""
        return self.state is State.OUT and self.out_until_s > self._clock.monotonic_s()

    @property
    def silent_s(self) -> float:
        """For how long it has kept its oldest unanswered question; what waits in the lane is not out."""
        return asyncio.get_running_loop().time() - self._out_s[0] if self._out_s else 0.0

    def status(self) -> EndpointStatus:
        """As it stands, for display."""
        return EndpointStatus(
            name=self.name,
            state=self.state,
            latency_ms=self._latency_ms,
            last_error=self.last_error,
            head_number=self.head_number,
            faults=tuple((kind.value, n) for kind, n in self.faults.items()),
        )

    def tell(self, kind: Kind, why: str) -> None:
        """Report a change."""
        self._on_event(EndpointEvent(name=self.name, kind=kind, why=why))

    def rule_out(self, told: int) -> None:
        """Ask it nothing but its chain id: it serves another chain."""
        if self.state is not State.WRONG_CHAIN:
            self.state, self.head_number, self.leapt = State.WRONG_CHAIN, None, False
            self.faults[Fault.WRONG_CHAIN] += 1
            self.last_error = f"serves chain id {told}, configured is {self._chain_id}"
            self.tell(Kind.WRONG_CHAIN, self.last_error)

    def count_failure(self, why: str, fault: Fault = Fault.FAILED) -> None:
        """One more transport failure in a row; the chain id must be proven again before the next answer."""
        self.failures += 1
        self.faults[fault] += 1
        self._failed_share += _SHAKY_WEIGHT * (1.0 - self._failed_share)
        self._verified_at = None
        self.last_error = why

    def count_slow(self) -> None:
        """Another, asked later, answered first: nothing failed, but it is not the one to wait for."""
        self._failed_share += _SHAKY_WEIGHT * (1.0 - self._failed_share)

    async def answer(self, ask: Ask) -> object:
        """The result, by the deadline, from a connection whose chain id is right.

        Raises Rejected or Transient. Transport failures are counted here.
        """
        if self.state is State.WRONG_CHAIN:
            raise Transient(f"{self.name}: {self.last_error}")
        try:
            async with asyncio.timeout_at(ask.deadline_s):
                return await self._proven(ask)
        except TimeoutError:
            pass
        raise Transient(f"{self.name}: no answer in time")

    async def prove_again(self, ask: Ask) -> None:
        """Take it back once it tells the right chain id: one misrouted answer must not blind us for good."""
        question = Ask(method="eth_chainId", params=(), priority=ask.priority, deadline_s=ask.deadline_s)
        try:
            async with asyncio.timeout_at(ask.deadline_s):
                told = await self._call(question)
        except (Transient, TimeoutError):
            return
        if isinstance(told, str) and QUANTITY.fullmatch(told) and int(told, 16) == self._chain_id:
            self.state, self.failures, self._verified_at = State.NEW, 0, None
            self.tell(Kind.RECOVERED, f"serves chain id {self._chain_id} again")

    async def close(self) -> None:
        """End the lane and the session."""
        await self.lane.close()
        await self.rpc.close()

    @property
    def _verified(self) -> bool:
        return self._verified_at is not None and self._verified_at >= self.rpc.connects

    async def _proven(self, ask: Ask) -> object:
        if not self._verified:
            await self._verify(ask)
        refused: Transient | None = None
        result: object = None
        try:
            result = await self._call(ask)
        except (Rejected, TooLarge) as error:
            refused = error
        if not self._verified:
            # it came over a connection made just now: who is at its other end?
            await self._verify(ask)
        if refused is not None:
            self._count_refusal(ask, refused)
            raise refused
        if ask.misshapen(result):
            self.count_failure(f"{self.name}: answered {ask.method} with something else")
            raise Transient(self.last_error)
        self._count_answer()
        return result

    def _count_refusal(self, ask: Ask, refused: Transient) -> None:
        """A verdict is an answer, and so is a copy that lags; a node in trouble with itself has not answered."""
        if isinstance(refused, Rejected) and ask.plain:
            self.count_failure(f"{self.name}: {refused.message}")
        elif isinstance(refused, Rejected) and about(refused) is About.NODE and ask.method not in _OWN_WORDS:
            # one that can answer is asked before it; whether it is well, its plain answers tell
            self.last_error = f"{self.name}: {refused.message}"
            self.count_slow()
        else:
            self._count_answer()

    def _count_answer(self) -> None:
        """A question answered; the chain id alone is none, since a sick node may still know it."""
        self.failures = 0
        self._failed_share -= _SHAKY_WEIGHT * self._failed_share
        if self.state in (State.NEW, State.OUT):
            kind = Kind.UP if self.state is State.NEW else Kind.RECOVERED
            self.state, self._failed_share = State.UP, 0.0
            self.tell(kind, f"serves chain id {self._chain_id}")

    async def _verify(self, ask: Ask) -> None:
        question = Ask(method="eth_chainId", params=(), priority=ask.priority, deadline_s=ask.deadline_s)
        async with self._verifying:
            while not self._verified:
                connects, told, why = self.rpc.connects, None, ""
                try:
                    told = await self._call(question)
                except Rejected as error:
                    # its word about its chain id must not pass for its word about the question
                    why = f": {error.message}"
                if not isinstance(told, str) or not QUANTITY.fullmatch(told):
                    self.count_failure(f"{self.name}: answered no chain id{why}")
                    raise Transient(self.last_error)
                if int(told, 16) != self._chain_id:
                    self.rule_out(int(told, 16))
                    raise Transient(f"{self.name}: {self.last_error}")
                # a connection made for this very question is proven by its answer
                self._verified_at = connects + 1 if self.rpc.connects > connects else connects

    async def _call(self, ask: Ask) -> object:
        await self.lane.acquire(ask.priority, ask.weight)
        started_s = self._clock.monotonic_s()
        out_s = asyncio.get_running_loop().time()
        self._out_s.append(out_s)
        try:
            result = await self.rpc.call(ask.method, ask.params, timeout_s=ask.left_s)
        except TooLarge:
            self.faults[Fault.TOO_LARGE] += 1
            raise
        except Rejected:
            raise
        except RateLimited as error:
            self.faults[Fault.RATE_LIMITED] += 1
            self._rest_lane(error)
            raise
        except WrongChain as error:
            self.rule_out(error.told)
            raise
        except Transient as error:
            # its own clock and the deadline's run out together
            self.count_failure(str(error), Fault.FAILED if ask.left_s > 0 else Fault.TIMEOUT)
            raise
        except asyncio.CancelledError:
            if ask.left_s <= 0:
                self.count_failure(f"{self.name}: did not answer in time", Fault.TIMEOUT)
            raise
        finally:
            self._out_s.remove(out_s)
            self.lane.release(ask.priority)
        took_ms = (self._clock.monotonic_s() - started_s) * 1e3
        self._latency_ms = took_ms if self._latency_ms is None else 0.8 * self._latency_ms + 0.2 * took_ms
        return result

    def _rest_lane(self, error: RateLimited) -> None:
        self._failed_share += _SHAKY_WEIGHT * (1.0 - self._failed_share)
        first = self.lane.paused_s <= 0
        pause_s = self.lane.penalise(error.retry_after_s)
        self.last_error = str(error)
        if first:
            self.tell(Kind.RATE_LIMITED, f"{error}; asked less for {pause_s:.1f} s")

"""Several endpoints of one chain as one Transport: failover, hedge, circuit, no travel back in time."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping, Sequence

from keeper.chain.canvass import Canvass, Pace
from keeper.chain.endpoint import (
    FAILURES_MAX,
    Ask,
    Body,
    Endpoint,
    EndpointEvent,
    EndpointStatus,
    Fault,
    Kind,
    OnEvent,
    State,
)
from keeper.chain.heights import Heights
from keeper.chain.lane import Lane
from keeper.chain.refusal import gone, young
from keeper.chain.rpc import Rpc
from keeper.config import ChainSettings
from keeper.errors import ConfigError, Rejected, Transient, pool_holds
from keeper.seams import Clock, Priority

REST_S = 60.0
REST_JITTER = 0.2
HEDGE_S = 0.8
"""A read that got no answer for so long is asked of the next endpoint too; the first answer counts."""
HEDGE_SHARE = 0.2
"""Of a block, where blocks are short: three round trips must fit into two of them, whichever is lost."""
HEDGE_S_MIN = 0.1
AGAIN_S = 0.1
"""Pause before the second round when every endpoint failed (a stale keep-alive, a restart)."""
ROUNDS = 2
YOUNG_S, YOUNG_AGAIN_S = 2.0, 0.2
"""A head may be told before the nodes that are asked about it have it: so long, and a quarter of a block at most, a
block that nobody knows is asked for again, at these intervals."""
GRACE_S = 0.3
"""After the first acceptance the other endpoints of a broadcast are waited for so long."""
PROBE_S = 15.0
"""Every endpoint is asked for its height this often: connections, circuit and status stay fresh."""
PROBE_TIMEOUT_S = 4.0

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


class Endpoints:
    """The Transport of one chain. Build it with ``open``; ``close`` leaves nothing running."""

    def __init__(
        self, chain: ChainSettings, bodies: Sequence[Body], clock: Clock, on_event: OnEvent, seed: int = 0
    ) -> None:
        """For ``open`` and for tests; ``bodies`` in the order of ``chain.endpoints``."""
        self.chain = chain
        self._clock = clock
        self._random = random.Random(f"{chain.chain_id}:{seed}")
        self._all = tuple(
            Endpoint(s, chain.chain_id, b, clock, on_event)
            for s, b in zip(chain.endpoints, bodies, strict=True)
        )
        self._heights = Heights(self._all, chain.block_time_s, clock)
        self.each = self._all
        """Every endpoint by itself, in order of preference."""
        self.hedge_s = max(HEDGE_S_MIN, min(HEDGE_S, HEDGE_SHARE * chain.block_time_s))
        """A read that got no answer for so long is asked of the next endpoint too."""
        self._probing: asyncio.Task[None] | None = None
        self.probed_s = clock.monotonic_s()
        """When all endpoints were last asked for their height, to the end (monotonic)."""
        self._sending: set[asyncio.Task[str | Exception]] = set()
        """Broadcasts that somebody has accepted and others have not answered."""

    @classmethod
    async def open(cls, chain: ChainSettings, clock: Clock, on_event: OnEvent) -> Endpoints:
        """Connect to every endpoint and check its chain id.

        An unreachable endpoint is no reason to fail (a daemon may start BLIND). Raises ConfigError when
        every endpoint that answered serves another chain.
        """
        bodies = [Rpc(e.name, e.url, chain.chain_id) for e in chain.endpoints]
        self = cls(chain, bodies, clock, on_event)
        for endpoint, body in zip(self._all, bodies, strict=True):
            body.on_greeting = endpoint.lane.owe
        try:
            await self.probe()
            self._refuse_wrong_chain()
        except BaseException:
            await self.close()
            raise
        self._probing = asyncio.create_task(self._probe_forever(), name=f"probe {chain.name}")
        return self

    async def close(self) -> None:
        """Stop every task and end every session."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        for task in tuple(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        for endpoint in self._all:
            await endpoint.close()

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """The ``result`` of the first good answer. Raises Rejected or Transient, within ``timeout_s``."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        ask = Ask(method=method, params=params, priority=priority, deadline_s=deadline_s, weight=weight)
        if method == "eth_sendRawTransaction":
            # an unanswered send may have been accepted: what follows is not for the transport to decide
            return await self._attempt(self._order()[0], ask)
        hedge_s = min(self.hedge_s, timeout_s / 2) if priority < Priority.PAGE else timeout_s / 2
        more = self._young_rounds(params)
        for n in range(1, ROUNDS + more + 1):
            try:
                return await self._race(self._order(everyone=n >= ROUNDS), ask, hedge_s)
            except Transient as error:
                answered = isinstance(error, Rejected) and not ask.may_pass_on(error)
                last = n == ROUNDS + more or (
                    n >= ROUNDS and not (isinstance(error, Rejected) and young(error))
                )
                if answered or last or ask.left_s <= 2 * AGAIN_S:
                    raise
            await self._clock.sleep(AGAIN_S if n < ROUNDS else YOUNG_AGAIN_S)
        raise AssertionError("unreachable: the last round returns or raises")

    def _young_rounds(self, params: Sequence[object]) -> int:
        """How many rounds more a block that is asked about by its hash may take to arrive."""
        pinned = any(isinstance(p, dict) and "blockHash" in p for p in params)
        return int(min(YOUNG_S, self.chain.block_time_s / 4) / YOUNG_AGAIN_S) if pinned else 0

    async def request_elsewhere(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
    ) -> object:
        """``request`` of another endpoint than the one that reads go to first, where another is at the head.

        Once, without a second round. Raises Rejected or Transient.
        """
        ask = Ask(
            method=method,
            params=params,
            priority=priority,
            deadline_s=asyncio.get_running_loop().time() + timeout_s,
        )
        order = self._order()
        hedge_s = min(self.hedge_s, timeout_s / 2)
        if len(order) > 1 and order[1].well and order[1].state is State.UP:
            order = [order[1], order[0], *order[2:]]
            # one that loses requests is given less time before the first one's word must do
            hedge_s = hedge_s / 2 if order[0].shaky else hedge_s
        return await self._race(order, ask, hedge_s)

    async def words(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> dict[str, object]:
        """What up to ``count`` endpoints say by themselves, by name, their words first: a result or its Rejected.

        Asked at once; another one, where there is one, joins for each that fails or stays silent for the hedge, and
        none is asked twice. Once one has given its word, or so many can no longer be had, the others are waited for
        no longer than ``wait_s``; who gave none has a Transient that says why, and has failed where it kept the
        question for long. Raises Transient where no endpoint serves the chain.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        ask = Ask(method=method, params=params, priority=Priority.TRIGGER, deadline_s=deadline_s)
        pace = Pace(
            count=count,
            hedge_s=min(self.hedge_s, timeout_s / 2, wait_s / 2),
            wait_s=wait_s,
            patience_s=0.9 * min(HEDGE_S, timeout_s / 2),
        )
        canvass = Canvass(self._order(), lambda e: self._attempt(e, ask), pace)
        told = await canvass.run()
        self._blame_silent(canvass.late)
        return {e.name: answer for e, answer in told.items()}

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]:
        """``words`` without the names."""
        return tuple((await self.words(method, params, count, timeout_s=timeout_s, wait_s=wait_s)).values())

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """``eth_sendRawTransaction`` to every endpoint at once: a hash or the error of each, in their order.

        Resting and lagging endpoints are asked too; one on a wrong chain never is. Once one has accepted, or
        has it already, the others are waited for no longer than GRACE_S: a silent endpoint must not hold up the
        next rescue. What is under way then goes on, and counts as unanswered.
        """
        ask = Ask(
            method="eth_sendRawTransaction",
            params=("0x" + raw.hex(),),
            priority=Priority.SEND,
            deadline_s=asyncio.get_running_loop().time() + timeout_s,
        )
        tasks = [asyncio.create_task(self._send(e, ask)) for e in self._all]
        self._sending.update(tasks)
        for task in tasks:
            task.add_done_callback(self._sending.discard)
        waiting: set[asyncio.Task[str | Exception]] = set(tasks)
        while waiting:
            accepted = any(t.done() and pool_holds(t.result()) for t in tasks)
            _, waiting = await asyncio.wait(
                waiting,
                timeout=GRACE_S if accepted else None,
                return_when=asyncio.ALL_COMPLETED if accepted else asyncio.FIRST_COMPLETED,
            )
            if accepted:
                break
        return tuple(
            t.result() if t.done() else Transient(f"{e.name}: has not answered yet")
            for e, t in zip(self._all, tasks, strict=True)
        )

    @property
    def head_numbers(self) -> Mapping[str, int | None]:
        """The height that each endpoint last told; None of one that lags, is beyond belief, or is not up."""
        return {e.name: e.head_number if e.state is State.UP else None for e in self._all}

    def status(self) -> tuple[EndpointStatus, ...]:
        """Every endpoint as it stands, in order of preference."""
        return tuple(e.status() for e in self._all)

    def note_head(self, name: str, number: int) -> bool:
        """Record a height that an endpoint told; False when it is not to be used (``Heights``)."""
        endpoint = self._named(name)
        if why := self._heights.note(endpoint, number):
            if endpoint.state is State.UP:
                endpoint.state = State.LAGGING
                endpoint.tell(Kind.LAGGING, why)
            return False
        if endpoint.state is State.LAGGING:
            endpoint.state = State.UP
            endpoint.tell(Kind.RECOVERED, f"caught up at block {number}")
        return True

    def rule_out(self, name: str, told: int) -> None:
        """Use an endpoint no more until it proves its chain: its stream answered the chain id ``told``."""
        self._named(name).rule_out(told)

    def usable(self, name: str) -> bool:
        """False for an endpoint that serves another chain."""
        return self._named(name).state is not State.WRONG_CHAIN

    async def probe(self) -> None:
        """Ask every endpoint for its height once: who lives, who lags, who serves another chain."""
        deadline_s = asyncio.get_running_loop().time() + PROBE_TIMEOUT_S
        ask = Ask(method="eth_blockNumber", params=(), priority=Priority.PAGE, deadline_s=deadline_s)
        wrong = [e for e in self._all if e.state is State.WRONG_CHAIN]
        await asyncio.gather(*(e.prove_again(ask) for e in wrong))
        asked = [e for e in self._all if not e.resting and e.state is not State.WRONG_CHAIN]
        for result in await asyncio.gather(*(self._attempt(e, ask) for e in asked), return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, Transient):
                raise result
        self.probed_s = self._clock.monotonic_s()

    async def _probe_forever(self) -> None:
        while True:
            await self._clock.sleep(PROBE_S)
            await self.probe()

    def _named(self, name: str) -> Endpoint:
        return next(e for e in self._all if e.name == name)

    def _refuse_wrong_chain(self) -> None:
        wrong = [e for e in self._all if e.state is State.WRONG_CHAIN]
        if wrong and not any(e.well for e in self._all):
            raise ConfigError(
                tuple(f"chains.{self.chain.name}: endpoint {e.name} {e.last_error}" for e in wrong)
            )

    def _order(self, *, everyone: bool = False) -> list[Endpoint]:
        """Whom to ask, best first: well by preference, shaky, lagging, failing; the resting when nobody is well."""
        usable = [e for e in self._all if e.state is not State.WRONG_CHAIN]
        if not usable:
            raise Transient(f"chain {self.chain.name}: no endpoint serves chain id {self.chain.chain_id}")
        if len(usable) == 1:
            return usable
        live = [e for e in usable if not e.resting]
        live.sort(key=lambda e: (not e.well, e.state is State.LAGGING, e.lane.paused_s > 0, e.shaky))
        if everyone or not any(e.well for e in live):
            live += sorted((e for e in usable if e.resting), key=lambda e: e.out_until_s)
        return live

    async def _race(self, order: Sequence[Endpoint], ask: Ask, hedge_s: float) -> object:
        """The first good answer; the next endpoint joins when one fails, or is silent for ``hedge_s``."""
        if len(order) == 1:
            return await self._attempt(order[0], ask)
        left = list(order)
        running: dict[asyncio.Task[object], Endpoint] = {}
        since_s: dict[Endpoint, float] = {}
        patience_s = 0.9 * min(HEDGE_S, ask.left_s / 2)
        failures: list[Transient] = []
        try:
            while left or running:
                if left:
                    endpoint = left.pop(0)
                    since_s[endpoint] = asyncio.get_running_loop().time()
                    running[asyncio.create_task(self._attempt(endpoint, ask))] = endpoint
                done, _ = await asyncio.wait(
                    running, timeout=hedge_s if left else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    winner = running.pop(task)
                    try:
                        result = task.result()
                    except Transient as error:
                        if isinstance(error, Rejected) and not ask.may_pass_on(error):
                            raise
                        failures.append(error)
                    else:
                        tried_s = asyncio.get_running_loop().time() - patience_s
                        late = {
                            e: since_s[e] <= tried_s
                            for e in order[: order.index(winner)]
                            if e in running.values()
                        }
                        self._blame_silent(late)
                        return result
            refusals = [f for f in failures if isinstance(f, Rejected)]
            raise max(refusals, key=gone) if refusals else failures[-1]
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _blame_silent(self, late: Mapping[Endpoint, bool]) -> None:
        """Who was asked before the winner and is still silent has failed; else it would slow every read.

        One that had no time to fail yet is slower than another, and asked after it if that goes on.
        """
        for endpoint, failed in late.items():
            if not failed:
                endpoint.count_slow()
                continue
            endpoint.count_failure(f"{endpoint.name}: silent while another answered", Fault.TIMEOUT)
            self._judge(endpoint)

    async def _attempt(self, endpoint: Endpoint, ask: Ask) -> object:
        try:
            result = await endpoint.answer(ask)
        except Transient:
            self._judge(endpoint)
            raise
        number = ask.height_in(result)
        if number is not None and not self.note_head(endpoint.name, number):
            raise Transient(f"{endpoint.name}: lags at block {number}")
        return result

    async def _send(self, endpoint: Endpoint, ask: Ask) -> str | Exception:
        try:
            result = await self._attempt(endpoint, ask)
        except Transient as error:
            return error
        if not isinstance(result, str) or not _HASH.fullmatch(result):
            return Transient(f"{endpoint.name}: answered no transaction hash")
        return result

    def _judge(self, endpoint: Endpoint) -> None:
        """Send an endpoint to rest after too many failures in a row, unless no other is well."""
        if endpoint.state is State.WRONG_CHAIN or endpoint.resting:
            return
        if endpoint.failures < (1 if endpoint.state is State.NEW else FAILURES_MAX):
            return
        if endpoint.state is not State.OUT:
            endpoint.state = State.OUT
            endpoint.tell(Kind.DOWN, f"{endpoint.last_error} (failed {endpoint.failures} times in a row)")
        if endpoint.failures >= FAILURES_MAX and any(e.well for e in self._all if e is not endpoint):
            rest_s = REST_S * (1 + REST_JITTER * (2 * self._random.random() - 1))
            endpoint.out_until_s = self._clock.monotonic_s() + rest_s


__all__ = ["EndpointEvent", "EndpointStatus", "Endpoints", "Kind", "Lane", "State"]

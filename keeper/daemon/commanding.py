"""Who may speak to the daemon from outside: a few chats, mostly to read; every answer is the control socket's."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from keeper.config.telling import TelegramSettings
from keeper.daemon.loop import ChainLoop
from keeper.daemon.secrecy import exposed
from keeper.daemon.tick import Tick
from keeper.daemon.watched import Watched, stopped, why_not_sent
from keeper.model import Level, PositionId
from keeper.notify import chat
from keeper.notify.chat import Said, SecondFactor, Wish
from keeper.notify.courier import Undelivered
from keeper.notify.telegram import Telegram
from keeper.phrases import health_text
from keeper.seams import Alarm, Clock, Severity

CODE = "telegram"
STRANGER = "telegram_stranger"
AGAIN_S = 5.0
AGAIN_S_MAX = 300.0
STRANGERS_MAX = 100
"""Strangers of whom is remembered that they were reported; a crowd of them is one alarm."""
SECRET_BYTES_MIN = 10
PROVEN = ("pause", "ack")
"""What needs a code. An acknowledgement ends the repetition of every alarm that stands, and nobody is told louder:
whoever holds the phone alone could keep a whole night quiet with it."""

Answer = Callable[[dict[str, object]], Awaitable[dict[str, object]]]
"""The control socket's."""


class Chat(Protocol):
    """A place where people speak to a bot."""

    async def heard(self, after: int) -> tuple[Said, ...]:
        """New messages, waiting for one a while. Raises Undelivered."""

    async def say(self, chat: int, text: str) -> None:
        """Raises Undelivered."""


class Commander:
    """Hears one bot's chats, for ever."""

    def __init__(
        self, bot: Chat, allowed: Sequence[int], factor: SecondFactor | None, clock: Clock, alarms: Alarm
    ) -> None:
        self._bot = bot
        self._allowed = frozenset(allowed)
        self._factor = factor
        self._clock = clock
        self._alarms = alarms
        self._after = 0
        self._strangers: set[int] = set()
        self._log = structlog.get_logger("keeper.telegram")

    async def run(self, answer: Answer, chains: Callable[[], Sequence[Watched]]) -> None:
        """One message after the other; a server that is away is asked again, ever more rarely."""
        rest_s = AGAIN_S
        while True:
            try:
                heard = await self._bot.heard(self._after)
            except Undelivered as e:
                why = f"Telegram cannot be reached, so commands are not heard: {e}"
                self._alarms.raise_alarm(Severity.WARNING, CODE, "", why)
                await self._clock.sleep(rest_s)
                rest_s = min(2 * rest_s, AGAIN_S_MAX)
                continue
            self._alarms.clear(CODE, "")
            rest_s = AGAIN_S
            for said in heard:
                # whatever comes of it, it is not asked for again
                self._after = max(self._after, said.number)
                await self.obey(said, answer, chains)

    async def obey(self, said: Said, answer: Answer, chains: Callable[[], Sequence[Watched]]) -> None:
        """Do what one message asks, or say why not; a stranger hears nothing."""
        if said.chat not in self._allowed or not said.private:
            self._report(said)
            return
        if abs(self._clock.now_s() - said.at_s) > chat.SAID_S_MAX:
            await self._say(said.chat, "that was said too long ago and was not done; say it again")
            return
        wish = chat.wish_from(said.text)
        told = wish if isinstance(wish, str) else await self._done(wish, said.chat, answer, chains)
        await self._say(said.chat, told)

    async def _done(
        self, wish: Wish, chat_id: int, answer: Answer, chains: Callable[[], Sequence[Watched]]
    ) -> str:
        if wish.do == "explain":
            return explained(wish.label or "", chains())
        if wish.do in ("status", "positions"):
            status = await answer({"do": "status"})
            return chat.status_text(status) if wish.do == "status" else chat.positions_text(status)
        request: dict[str, object] = {"do": wish.do, "actor": f"telegram {chat_id}", "why": "said in a chat"}
        if wish.do in PROVEN:
            refused = self._unproven(wish, chat_id)
            if refused:
                return refused
        if wish.do == "pause":
            request["for_s"] = wish.for_s
        if wish.label is not None:
            request["label"] = wish.label
        told = await answer(request)
        lines = told.get("lines")
        return (
            "\n".join(map(str, lines)) if told.get("ok") and isinstance(lines, list) else f"{told.get('why')}"
        )

    def _unproven(self, wish: Wish, chat_id: int) -> str:
        """Why what weakens protection is not done; empty with a right code."""
        if self._factor is None:
            return f"/{wish.do} needs telegram.second_factor_file; without it do it at the machine"
        refused = self._factor.refuses(wish.code, chat_id, self._clock.now_s())
        if refused:
            why = f"chat {chat_id} asked for /{wish.do} with a wrong code: {refused}"
            self._alarms.raise_alarm(Severity.WARNING, STRANGER, str(chat_id), why)
        return refused

    def _report(self, said: Said) -> None:
        where = "chat" if said.private else "group"
        subject = str(said.chat) if len(self._strangers) < STRANGERS_MAX else "many"
        if subject not in map(str, self._strangers):
            self._strangers.add(said.chat)
            why = f"{where} {subject} spoke to the bot and is not in telegram.chats; it heard nothing"
            self._alarms.raise_alarm(Severity.WARNING, STRANGER, subject, why)

    async def _say(self, chat_id: int, text: str) -> None:
        try:
            await self._bot.say(chat_id, text)
        except Undelivered as e:
            self._log.warning("answer not delivered", why=str(e))


def explained(label: str, chains: Sequence[Watched]) -> str:
    """What the last tick made of one position: health, level, decision, and why."""
    for watched in chains:
        guarded = watched.loop.parts.guarded if watched.loop is not None else ()
        found = next((g for g in guarded if g.label == label), None)
        if found is None or watched.loop is None:
            continue
        if watched.blind is not None:
            story = [f"{label}: UNKNOWN, {watched.chain.name} cannot be seen: {watched.blind.why}"]
        elif (tick := watched.loop.last) is None:
            story = [f"{label}: no block has been seen yet"]
        else:
            story = _story(label, found.id, tick)
        return "\n".join([*story, *_hindered(watched.loop, found.id)])
    known = [g.label for w in chains if w.loop is not None for g in w.loop.parts.guarded]
    return f"{label!r} is no guarded position ({', '.join(known) or 'none is known yet'})"


def _hindered(loop: ChainLoop, id: PositionId) -> list[str]:
    """What would keep a rescue of it from being sent now, its own stop and the whole chain's."""
    stop, everything = stopped(loop).get(id), why_not_sent(loop)
    own = [] if stop is None else [f"STOPPED ({stop.code}): {stop.why}"]
    return [*own, *([f"nothing is sent: {everything}"] if everything else [])]


def _story(label: str, id: PositionId, tick: Tick) -> list[str]:
    outlook = next((o for o in tick.outlooks if o.id == id), None)
    position = tick.snapshot.position(id)
    if outlook is None or outlook.level is Level.UNKNOWN or position is None:
        unread = next((u.why for u in tick.snapshot.unreadable if u.id == id), "")
        why = unread or (outlook.why if outlook is not None else "") or "it could not be judged"
        return [f"{label}: UNKNOWN at block {tick.block.number}: {why}"]
    lines = [
        f"{label}: {outlook.level}, health {health_text(position.health_wad)}, block {tick.block.number}"
    ]
    near = min((d for d in outlook.distance), key=lambda d: abs(d.distance), default=None)
    if near is not None:
        lines.append(f"nearest single price: {near.distance:+.1%}")
    for decision in (d for d in tick.decisions if d.id == id):
        lines.append(f"decided: {decision.why}")
        lines += [f"  takes {p.strategy}: {p.why}" for p in decision.chosen]
        lines += [f"  not {r.strategy or r.code}: {r.why}" for r in decision.rejected]
    lines += [f"plan: {p.why}" for p in tick.plans if p.key.position == id]
    lines += [f"refused: {r.code}: {r.why}" for at, r in tick.refusals if at == id]
    return lines if len(lines) > 2 else [*lines, "nothing had to be decided"]


def commander_for(
    settings: TelegramSettings, clock: Clock, alarms: Alarm
) -> tuple[Commander | None, tuple[str, ...]]:
    """(who hears the bot, problems). A file that cannot be used costs its own part alone."""
    if settings.token_file is None:
        return None, ()
    problems: list[str] = []
    token = _read(settings.token_file, "token_file", problems)
    if not token:
        return None, tuple(problems)
    factor = None
    if settings.second_factor_file is not None:
        factor = _factor(settings.second_factor_file, problems)
    bot = Telegram(settings.api, token)
    return Commander(bot, settings.chats, factor, clock, alarms), tuple(problems)


def _factor(path: Path, problems: list[str]) -> SecondFactor | None:
    text = _read(path, "second_factor_file", problems).replace(" ", "").upper().rstrip("=")
    if not text:
        return None
    try:
        secret = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        secret = b""
    if len(secret) < SECRET_BYTES_MIN:
        problems.append(f"second_factor_file: {path}: holds no base32 secret of 16 or more characters")
        return None
    return SecondFactor(secret)


def _read(path: Path, field: str, problems: list[str]) -> str:
    try:
        why, text = exposed(path), path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as e:
        told = e.strerror if isinstance(e, OSError) else "is not UTF-8 text"
        problems.append(f"{field}: {path}: {told}")
        return ""
    if why:
        # who reads it commands the keeper: not used at all, unlike an alarm's target
        problems.append(f"{field}: {path}: {why}")
        return ""
    if not text or (field == "token_file" and any(c.isspace() for c in text)):
        problems.append(f"{field}: {path}: holds no token")
        return ""
    return text

"""Telegram's bot API: messages in by long polling, answers out. The token is in no message, log or repr."""

from __future__ import annotations

from typing import Any

import aiohttp

from keeper.dialing import connector
from keeper.notify.chat import Said
from keeper.notify.courier import Undelivered

POLL_S = 25
"""How long the server holds a question without an answer; a message is heard the moment it comes."""
ANSWER_S_MAX = 10.0
BYTES_MAX = 1 << 20
TEXT_MAX = 4_000
"""Telegram takes 4,096 UTF-16 units."""
BATCH = 20


class Telegram:
    """One bot. Raises Undelivered, by the kind of trouble alone: the URL holds the token."""

    def __init__(self, api: str, token: str) -> None:
        self._base = f"{api}/bot{token}"

    def __repr__(self) -> str:
        return "Telegram()"

    async def heard(self, after: int) -> tuple[Said, ...]:
        """Messages numbered above ``after``, waiting for one for up to POLL_S. Confirms those up to ``after``."""
        asked = {"offset": after + 1, "timeout": POLL_S, "limit": BATCH, "allowed_updates": ["message"]}
        result = await self._ask("getUpdates", asked, POLL_S + ANSWER_S_MAX)
        if not isinstance(result, list):
            raise Undelivered("it answered no list of updates")
        return tuple(said_from(update) for update in result if isinstance(update, dict))

    async def say(self, chat: int, text: str) -> None:
        """One message as plain text, cut where it is too long."""
        if len(text) > TEXT_MAX:
            text = f"{text[:TEXT_MAX]}\n... cut; the rest is at the machine"
        await self._ask("sendMessage", {"chat_id": chat, "text": text}, ANSWER_S_MAX)

    async def _ask(self, method: str, body: dict[str, Any], limit_s: float) -> Any:
        timeout = aiohttp.ClientTimeout(total=limit_s)
        try:
            async with (
                aiohttp.ClientSession(connector=connector(), timeout=timeout) as session,
                session.post(f"{self._base}/{method}", json=body, allow_redirects=False) as answer,
            ):
                raw = b""
                # one read gives what has arrived by then, not the whole answer
                while len(raw) < BYTES_MAX and (more := await answer.content.read(BYTES_MAX - len(raw))):
                    raw += more
                if answer.status != 200:
                    raise Undelivered(f"it answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError, OSError) as e:
            raise Undelivered(type(e).__name__) from None
        return _result(raw)


def said_from(update: dict[str, Any]) -> Said:
    """One update; what is no text of a person becomes an empty message, so that it is passed over once."""
    message = update.get("message")
    message = message if isinstance(message, dict) else {}
    chat = message.get("chat")
    chat = chat if isinstance(chat, dict) else {}
    return Said(
        number=_whole(update.get("update_id")),
        chat=_whole(chat.get("id")),
        private=chat.get("type") == "private",
        at_s=float(_whole(message.get("date"))),
        text=text if isinstance(text := message.get("text"), str) else "",
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _result(raw: bytes) -> Any:
    import orjson

    try:
        told = orjson.loads(raw)
    except ValueError:
        raise Undelivered("it answered something that is not JSON") from None
    if not isinstance(told, dict) or told.get("ok") is not True:
        raise Undelivered("it answered without ok")
    return told.get("result")

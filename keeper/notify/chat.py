"""What a person may say to the daemon in a chat, and who counts as one; pure."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from keeper.phrases import health_text

SAID_S_MAX = 60.0
"""What was said longer ago is not done: it lay in a queue while the daemon was away, and meant another night."""
WRONG_MAX = 5
WRONG_S = 600.0
"""So many wrong codes within so long, and no code of that chat is looked at until the time is over: a code has a
million values, and three of them are right at any moment."""
ALARMS_MAX = 8
"""So many alarms fit in a message; the page and the journal hold all of them."""
WHY_MAX = 200
STEP_S = 30
"""Of RFC 6238, as every authenticator app has it."""
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_FOR = re.compile(r"([1-9][0-9]{0,5})([smh])")
HELP = """\
/status - chains, levels, alarms
/positions - every guarded position
/explain LABEL - what was decided for one, and why
/ack CODE - the alarms that stand are known to you; CODE is your authenticator's
/resume LABEL or all - end a pause
/pause LABEL or all TIME CODE - send nothing for 90s, 30m, 2h
Everything else is done at the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message as the chat delivered it."""

    number: int
    """Grows with every message; never asked for again once seen."""
    chat: int
    private: bool
    """Between the bot and one person; in a group anybody may speak."""
    at_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a message asks for: a request of the control socket, or words to be made here."""

    do: str
    label: str | None = None
    for_s: float | None = None
    code: str = field(default="", repr=False)


def wish_from(text: str) -> Wish | str:
    """The wish, or why there is none, for a person. Commands may carry the bot's name (``/status@bot``)."""
    words = text.split()
    name = words[0].partition("@")[0].lower() if words else ""
    rest = words[1:]
    if name in ("/start", "/help"):
        return HELP
    if name in ("/status", "/positions"):
        return f"{name} takes nothing after it" if rest else Wish(do=name[1:])
    if name == "/ack":
        return Wish(do="ack", code=rest[0]) if len(rest) == 1 else "/ack CODE"
    if name == "/explain":
        return Wish(do="explain", label=" ".join(rest)) if rest else "/explain LABEL"
    if name == "/resume":
        return Wish(do="resume", label=_label(rest)) if rest else "/resume LABEL, or /resume all"
    if name == "/pause":
        return _pause(rest)
    return f"not understood.\n{HELP}"


def _pause(rest: list[str]) -> Wish | str:
    if len(rest) < 3:
        return "/pause LABEL 30m CODE, or /pause all 30m CODE"
    # a label may hold spaces
    *label, time, code = rest
    found = _FOR.fullmatch(time)
    if found is None:
        return f"{time!r} is no time such as 90s, 30m or 2h"
    return Wish(do="pause", label=_label(label), for_s=float(int(found[1]) * _SECONDS[found[2]]), code=code)


def _label(words: list[str]) -> str | None:
    return None if words == ["all"] else " ".join(words)


class SecondFactor:
    """Time-based codes (RFC 6238, SHA-1, six digits), each good once."""

    def __init__(self, secret: bytes) -> None:
        """``secret``: as shared with the authenticator, decoded."""
        self._secret = secret
        self._used = -1
        self._wrong_s: dict[int, list[float]] = {}

    def __repr__(self) -> str:
        return "SecondFactor()"

    def refuses(self, code: str, chat: int, now_s: float) -> str:
        """Why ``code`` is not taken; empty when it is, and then it is spent. One step early or late is right."""
        wrong = [t for t in self._wrong_s.get(chat, []) if now_s - WRONG_S < t <= now_s]
        if len(wrong) >= WRONG_MAX:
            return f"{WRONG_MAX} wrong codes: none is taken for {WRONG_S / 60:.0f} minutes"
        step = int(now_s // STEP_S)
        for near in (step, step - 1, step + 1):
            # every candidate is compared in full: how long it takes tells nothing
            if hmac.compare_digest(code_at(self._secret, near).encode(), code.encode()):
                if near <= self._used:
                    return "that code was used; wait for the next one"
                self._used = near
                self._wrong_s.pop(chat, None)
                return ""
        self._wrong_s[chat] = [*wrong, now_s]
        return "the code is wrong"


def code_at(secret: bytes, step: int) -> str:
    """The six digits of one time step. Source: RFC 4226, section 5.3."""
    digest = hmac.digest(secret, step.to_bytes(8), "sha1")
    at = digest[-1] & 0xF
    return f"{(int.from_bytes(digest[at : at + 4]) & 0x7FFFFFFF) % 1_000_000:06d}"


def status_text(answer: Mapping[str, object]) -> str:
    """The control socket's ``status`` in a few lines: the alarms that stand, each chain, each position that is not
    SAFE or is stopped. A message that is too long is cut at its end.
    """
    lines = [f"mode {answer.get('mode')}", *_alarm_lines(answer)]
    for chain in _rows(answer.get("chains")):
        lines.append(_chain_line(chain, str(answer.get("mode"))))
        rows = _rows(chain.get("positions"))
        halted = sum(bool(p.get("stopped")) for p in rows)
        safe = f"{sum(p.get('level') == 'SAFE' for p in rows)} of {len(rows)} positions SAFE"
        lines.append(f"  {safe}{f', {halted} STOPPED' if halted else ''}")
        lines += [_position_line(p) for p in rows if p.get("level") != "SAFE" or p.get("stopped")]
    return "\n".join(lines)


def positions_text(answer: Mapping[str, object]) -> str:
    """Every guarded position, one a line."""
    lines = []
    for chain in _rows(answer.get("chains")):
        lines.append(_chain_line(chain, str(answer.get("mode"))))
        lines += [_position_line(p) for p in _rows(chain.get("positions"))]
    return "\n".join(lines) or "no chain is configured"


def _chain_line(chain: Mapping[str, object], mode: str) -> str:
    blind, broken = chain.get("blind"), chain.get("broken")
    state = "watching"
    if isinstance(blind, Mapping):
        state = f"BLIND: {blind.get('why')}"
    elif broken:
        state = f"stopped acting: {broken}"
    if (paused := chain.get("paused")) is not None:
        # whether it is armed shows again when the pause is over; its end is what counts now
        armed = f", PAUSED ({_cut(paused)})"
    else:
        armed = "" if mode != "live" else ", armed" if chain.get("armed") else ", NOT ARMED"
    return f"{chain.get('chain')}: {state}{armed}, block {chain.get('block') or 'none seen'}"


def _alarm_lines(answer: Mapping[str, object]) -> list[str]:
    """What stands and is more than a note, the daemon's own and each chain's, the most severe first."""
    chains = _rows(answer.get("chains"))
    labels = {p.get("id"): p.get("label") for chain in chains for p in _rows(chain.get("positions"))}
    every = [a for holder in (answer, *chains) for a in _rows(holder.get("alarms"))]
    # CRITICAL comes before WARNING by the alphabet too
    standing = sorted((a for a in every if a.get("severity") != "INFO"), key=lambda a: str(a.get("severity")))
    if not standing:
        return ["no alarm stands"]
    lines = []
    for a in standing[:ALARMS_MAX]:
        about = labels.get(a.get("subject"), a.get("subject"))
        what = " ".join(str(word) for word in (a.get("severity"), a.get("code"), about) if word)
        lines.append(f"{what}: {_cut(a.get('why'))}")
    more = len(standing) - ALARMS_MAX
    return [*lines, *([f"and {more} more alarms"] if more > 0 else [])]


def _cut(why: object) -> str:
    text = str(why)
    return text if len(text) <= WHY_MAX else f"{text[: WHY_MAX - 3]}..."


def _position_line(p: Mapping[str, object]) -> str:
    """One position, with what stops it, whatever its level."""
    stop = p.get("stopped")
    told = f"; STOPPED ({stop.get('code')}): {_cut(stop.get('why'))}" if isinstance(stop, Mapping) else ""
    return f"{_health_line(p)}{told}"


def _health_line(p: Mapping[str, object]) -> str:
    health = p.get("health_wad")
    if health is not None:
        return f"  {p.get('label')}: {p.get('level')}, health {health_text(int(str(health)))}"
    if p.get("level") != "UNKNOWN":
        return f"  {p.get('label')}: {p.get('level')}, no debt"
    known, old = p.get("last_known"), ""
    if isinstance(known, Mapping):
        was, block = health_text(int(str(known.get("health_wad")))), known.get("block")
        old = f" (last known {was} at block {block})"
    return f"  {p.get('label')}: UNKNOWN, {p.get('unreadable')}{old}"


def _rows(value: object) -> list[Mapping[str, object]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []

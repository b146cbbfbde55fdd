"""``[alarms]``, ``[metrics]``, ``[page]``, ``[telegram]``: to whom the daemon speaks.

None decides about money, so none disarms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from keeper.config.files import Files
from keeper.config.schema import Table
from keeper.config.wording import shown

LOCAL = ("127.0.0.1", "localhost", "::1")
_TIME = r"([01]\d|2[0-3]):([0-5]\d)"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """Where alarms go, and when which of them may wait."""

    targets_file: Path | None = None
    """One target a line; read by the daemon, which goes on without when it cannot be read."""
    quiet_minutes: tuple[int, int] | None = None
    """First and last minute of the day between which only CRITICAL is delivered; may span midnight."""
    zone: str = "UTC"
    escalate_after_s: float = 900.0
    dead_man_file: Path | None = None
    dead_man_every_s: float = 60.0
    summary_minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where Prometheus reads."""

    host: str = ""
    """Empty: nothing is served."""
    port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """Where people look."""

    host: str = ""
    """Empty: nothing is served."""
    port: int = 0
    hosts: tuple[str, ...] = ()
    """Names besides those of this machine under which it may be asked (a proxy's)."""
    token_file: Path | None = None
    """What acknowledges alarms; None: the page is for reading only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramSettings:
    """Who may ask, in a chat."""

    token_file: Path | None = None
    """The bot's token; None: nobody is heard."""
    chats: tuple[int, ...] = ()
    """Private chats that are answered."""
    second_factor_file: Path | None = None
    """The base32 secret of an authenticator; None: nothing that weakens protection is done."""
    api: str = "https://api.telegram.org"


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:5])


def _quiet(value: str) -> str:
    if not re.fullmatch(f"{_TIME}-{_TIME}", value) or value[:5] == value[6:]:
        raise ValueError('must be two times of day such as "23:00-07:00"')
    return value


def _at(value: str) -> str:
    if not re.fullmatch(_TIME, value):
        raise ValueError('must be a time of day such as "08:00"')
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('is no time zone such as "UTC" or "Europe/Berlin"') from None
    return value


def _listen(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError('must be an address and a port such as "127.0.0.1:9464"')
    return value


class AlarmTable(Table):
    """``[alarms]``."""

    targets_file: str | None = None
    quiet: Annotated[str, AfterValidator(_quiet)] | None = None
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    escalate_after_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    dead_man_file: str | None = None
    dead_man_every_s: Annotated[int, Field(ge=10, le=3600)] = 60
    summary_at: Annotated[str, AfterValidator(_at)] | None = None


class MetricsTable(Table):
    """``[metrics]``."""

    listen: Annotated[str, AfterValidator(_listen)] | None = None


def _host(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise ValueError('must be a host name in lower case without a port, such as "keeper.example"')
    return value


class PageTable(Table):
    """``[page]``."""

    listen: Annotated[str, AfterValidator(_listen)] | None = None
    hosts: Annotated[list[Annotated[str, AfterValidator(_host)]], Field(max_length=16, default_factory=list)]
    token_file: str | None = None


def _api(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+", value):
        raise ValueError('must be a server such as "https://api.telegram.org", without a path')
    return value


class TelegramTable(Table):
    """``[telegram]``."""

    token_file: str | None = None
    chats: Annotated[
        list[Annotated[int, Field(ge=1, le=2**63 - 1)]], Field(max_length=16, default_factory=list)
    ]
    second_factor_file: str | None = None
    api: Annotated[str, AfterValidator(_api)] = "https://api.telegram.org"


def alarm_settings(table: AlarmTable, files: Files) -> AlarmSettings:
    """The record of ``[alarms]``. A file that is missing is the daemon's alarm, no reason to refuse a start."""
    quiet = None if table.quiet is None else (_minute(table.quiet[:5]), _minute(table.quiet[6:]))
    return AlarmSettings(
        targets_file=files.secret("alarms.targets_file", table.targets_file, needed=False),
        quiet_minutes=quiet,
        zone=table.zone,
        escalate_after_s=60.0 * table.escalate_after_minutes,
        dead_man_file=files.secret("alarms.dead_man_file", table.dead_man_file, needed=False),
        dead_man_every_s=float(table.dead_man_every_s),
        summary_minute=None if table.summary_at is None else _minute(table.summary_at),
    )


def metrics_settings(table: MetricsTable) -> MetricsSettings:
    """The record of ``[metrics]``."""
    host, _, port = (table.listen or "").rpartition(":")
    return MetricsSettings(host=host.strip("[]"), port=int(port or 0))


def page_settings(table: PageTable, files: Files) -> PageSettings:
    """The record of ``[page]``. A token that is missing is the page's lack, no reason to refuse a start."""
    host, _, port = (table.listen or "").rpartition(":")
    host = host.strip("[]")
    if host and host not in LOCAL and not table.hosts:
        why = "is not this machine alone; name in page.hosts under which names it may be asked"
        files.problems.append(f"page.listen: {shown(table.listen)} {why}, or listen on 127.0.0.1")
    return PageSettings(
        host=host,
        port=int(port or 0),
        hosts=tuple(table.hosts),
        token_file=files.secret("page.token_file", table.token_file, needed=False),
    )


def telegram_settings(table: TelegramTable, files: Files) -> TelegramSettings:
    """The record of ``[telegram]``. A file that is missing is the daemon's alarm, no reason to refuse a start."""
    if table.token_file is not None and not table.chats:
        files.problems.append(
            "telegram.chats: is empty; name the private chats that may ask, or leave out token_file"
        )
    return TelegramSettings(
        token_file=files.secret("telegram.token_file", table.token_file, needed=False),
        chats=tuple(table.chats),
        second_factor_file=files.secret(
            "telegram.second_factor_file", table.second_factor_file, needed=False
        ),
        api=table.api,
    )

"""keeper.toml -> frozen Settings; every problem is reported at once (ConfigError, exit 78)."""

from __future__ import annotations

import os
from pathlib import Path

from keeper.config.records import (
    AggregatorSettings,
    ChainSettings,
    EndpointSettings,
    PositionSettings,
    Settings,
    TickerSettings,
    TimelockSettings,
    VenueSettings,
    WalletSettings,
)
from keeper.errors import ConfigError, unopened

__all__ = [
    "AggregatorSettings",
    "ChainSettings",
    "EndpointSettings",
    "PositionSettings",
    "Settings",
    "TickerSettings",
    "TimelockSettings",
    "VenueSettings",
    "WalletSettings",
    "load",
    "parse",
]


def load(path: Path) -> Settings:
    """Settings of the file at ``path``. Raises ConfigError with every problem found in it.

    ``credential:NAME`` values are looked up under ``$CREDENTIALS_DIRECTORY``, read here and nowhere else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError((f"{path}: no such file; write one with `keeper init --out {path}`",)) from None
    except UnicodeDecodeError:
        raise ConfigError((f"{path}: not UTF-8 text; save the file as UTF-8",)) from None
    except OSError as e:
        raise unopened(e, f"{path}: cannot be read ({e.strerror}); check its owner and mode") from None
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return parse(text, path, credentials_dir=Path(credentials) if credentials else None)


def parse(text: str, path: Path, *, credentials_dir: Path | None = None) -> Settings:
    """Settings of ``text`` as if it stood at ``path`` (relative paths start there). Raises ConfigError."""
    # pydantic costs half a second: nothing may pay for it before a configuration is really read
    from keeper.config.build import settings_from

    return settings_from(text, path, credentials_dir)

"""Files that the configuration names: endpoint URLs read now, the wallet's secrets only located."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from keeper.config.wording import path_text, shown

CREDENTIAL = "credential:"
UNIT_CREDENTIALS = Path("/run/credentials/keeper.service")
"""Where systemd puts the unit's credentials: named when a command runs outside the unit, unreadable there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Resolves paths against the configuration's folder and notes what is wrong with them."""

    base: Path
    credentials_dir: Path | None
    problems: list[str]

    def path(self, text: str) -> Path:
        """``text`` as an absolute path: ``~`` expanded, relative to the configuration's folder."""
        return self.base / Path(text).expanduser()

    def secret(self, field: str, text: str | None, *, needed: bool) -> Path | None:
        """Where a secret lies. Its content and mode are the signer's business; only absence is noted."""
        if text is None:
            return None
        if text.startswith(CREDENTIAL):
            return self._credential(field, text)
        if "://" in text:
            # a path is told in alarms and logs, and what stands in a URL must not be
            self.problems.append(f"{field}: is a URL; write it into a file of mode 0600 and name that file")
            return None
        path = self.path(text)
        if needed:
            try:
                path.stat()
            except PermissionError:
                pass  # commands without the key run as another user
            except (OSError, ValueError) as e:
                # ValueError: no path may hold a null byte
                why = e.strerror if isinstance(e, OSError) else "is no path"
                self.problems.append(f"{field}: {shown(text)}: {why}; name the file that holds the secret")
        return path

    def url(self, at: tuple[str | int, ...], field: str, text: str | None, file: str | None) -> str | None:
        """The URL given directly or by file, never shown in a problem; only ``url`` is required."""
        where = path_text((*at, field))
        if text is not None and file is not None:
            self.problems.append(f"{where}: is given twice; keep either {field} or {field}_file")
            return None
        if file is not None:
            where += "_file"
            text = self._read(where, file)
        elif text is None:
            if field == "url":
                self.problems.append(f"{where}: is required; give url, or url_file when it holds a token")
            return None
        return None if text is None else self._checked(where, field, text)

    def _checked(self, where: str, field: str, text: str) -> str | None:
        schemes = ("ws", "wss") if field == "ws_url" else ("http", "https")
        try:
            parts = urlsplit(text)
            fits = parts.scheme in schemes and bool(parts.hostname) and text.isprintable() and " " not in text
            _ = parts.port
        except ValueError:
            fits = False
        if fits:
            return text
        self.problems.append(f"{where}: is not a URL beginning with {schemes[0]}:// or {schemes[1]}://")
        return None

    def _read(self, where: str, file: str) -> str | None:
        path = self._credential(where, file) if file.startswith(CREDENTIAL) else self.path(file)
        if path is None:
            return None
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as e:
            why = e.strerror if isinstance(e, OSError) else "not UTF-8 text, or no path"
            self.problems.append(f"{where}: {shown(file)}: {why}; it must be a readable file holding one URL")
            return None

    def _credential(self, field: str, text: str) -> Path | None:
        name = text.removeprefix(CREDENTIAL)
        if not name or "/" in name or name in (".", ".."):
            self.problems.append(
                f"{field}: {shown(text)} must be credential:NAME, the name of a LoadCredential="
            )
            return None
        return (self.credentials_dir or UNIT_CREDENTIALS) / name

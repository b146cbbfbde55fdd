"""The service files: where they lie, what they say on this machine, and where they go."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from keeper.errors import ConfigError

SHIPPED_PYTHON = "/opt/keeper/.venv/bin/python"
"""What the units name; replaced by the interpreter that installs them."""
UNITS = "etc/systemd/system"
NAMES = ("keeper", "keeper-signer")
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""Folders that the units do not see: ProtectHome and PrivateTmp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """One file of the installation."""

    path: Path
    """Below the root of the file system, without a leading slash."""
    text: str


def service_files(python: Path) -> tuple[ServiceFile, ...]:
    """Every unit, its template and their hardening, run by ``python``; users first."""
    place = _place()
    found = [_file("etc/sysusers.d/keeper.conf", place / "keeper.sysusers")]
    for name in NAMES:
        hardening = place / f"{name}.service.d" / "10-hardening.conf"
        for unit in (f"{name}.service", f"{name}@.service"):
            found.append(_file(f"{UNITS}/{unit}", place / unit))
            found.append(_file(f"{UNITS}/{unit}.d/10-hardening.conf", hardening))
    return tuple(
        ServiceFile(path=f.path, text=f.text.replace(f"={SHIPPED_PYTHON} ", f"={python} ")) for f in found
    )


def problems(python: Path, base: Path) -> tuple[str, ...]:
    """Why a service run by ``python``, whose environment lies in ``base``, could not start; empty when it can."""
    told = []
    for path in dict.fromkeys((python, base)):
        if any(path.is_relative_to(folder) for folder in HIDDEN):
            told.append(
                f"{path}: a service cannot see {path.parts[0]}{path.parts[1]} (its unit hides homes and "
                "temporary folders); install keeper into /opt/keeper and run this from there"
            )
    if any(c.isspace() or c in "%\"'\\$" for c in str(python)):
        told.append(
            f"{python}: a path with blanks, quotes, % or $ cannot stand in a unit; choose another folder"
        )
    return tuple(told)


def differences(wanted: tuple[ServiceFile, ...], root: Path) -> tuple[str, ...]:
    """What differs in files that are there already, as a diff each; a file that is not there differs in nothing."""
    told = []
    for file in wanted:
        path = root / file.path
        if path.exists() and (before := path.read_text()) != file.text:
            lines = difflib.unified_diff(
                before.splitlines(), file.text.splitlines(), f"{path} (there)", f"{path} (new)", lineterm=""
            )
            told.append("\n".join(lines))
    return tuple(told)


def install(wanted: tuple[ServiceFile, ...], root: Path) -> tuple[Path, ...]:
    """Write the files below ``root``, each whole or not at all; what was written. Raises ConfigError."""
    written = []
    for file in wanted:
        path = root / file.path
        if path.exists() and path.read_text() == file.text:
            continue
        new = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            new.write_text(file.text)
            new.chmod(0o644)
            os.replace(new, path)
        except OSError as e:
            raise ConfigError((f"{path}: {e.strerror}; run it as root, or give --root",)) from e
        written.append(path)
    return tuple(written)


def _file(path: str, source: Traversable) -> ServiceFile:
    return ServiceFile(path=Path(path), text=source.read_text(encoding="utf-8"))


def _place() -> Traversable:
    """Inside the wheel, or beside the package in a checkout."""
    inside = files("keeper").joinpath("service_files")
    return inside if inside.is_dir() else Path(__file__).resolve().parents[1] / "systemd"

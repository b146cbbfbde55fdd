"""A disk of its own size for one forked child, in a mount namespace that dies with it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_RDONLY, _MS_REMOUNT, _MS_REC, _MS_PRIVATE = 1, 32, 16384, 1 << 18
BALLAST = "ballast"


class Denied(Exception):
    """The system lets nobody mount here."""


def mount(folder: Path, size_bytes: int) -> None:
    """A tmpfs of that size at ``folder``, seen by this process alone. Raises Denied."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWNS):
        if libc.unshare(_CLONE_NEWNS | _CLONE_NEWUSER):
            raise Denied(os.strerror(ctypes.get_errno()))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _mount(libc, "none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount(libc, "tmpfs", str(folder), f"size={size_bytes}", 0)


def read_only(folder: Path, on: bool) -> None:
    """Turn the tmpfs read-only, or writable again."""
    libc = ctypes.CDLL(None, use_errno=True)
    _mount(libc, "tmpfs", str(folder), None, _MS_REMOUNT | (_MS_RDONLY if on else 0))


def fill(folder: Path, left_bytes: int) -> None:
    """Take all space but ``left_bytes``."""
    free = os.statvfs(folder)
    take = max(0, free.f_bavail * free.f_frsize - left_bytes)
    with (folder / BALLAST).open("ab") as file:
        os.posix_fallocate(file.fileno(), file.tell(), take) if take else None


def drain(folder: Path) -> None:
    """Give the space back."""
    (folder / BALLAST).unlink(missing_ok=True)


def _mount(libc: ctypes.CDLL, source: str, target: str, data: str | None, flags: int) -> None:
    of = data.encode() if data else None
    if libc.mount(source.encode(), target.encode(), b"tmpfs", flags, of):
        raise Denied(os.strerror(ctypes.get_errno()))

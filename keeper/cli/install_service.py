"""``keeper install-service``: the systemd units of this installation, shown or put in place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from keeper.installation import ServiceFile

NEXT = """\
next: put keeper.toml (its state_dir = "/var/lib/keeper") into /etc/keeper, owned by root, group keeper, mode 0640;
then: systemctl enable --now keeper; journalctl -u keeper -f
The key in a process of its own, secrets, several chains: docs/guide/service.md"""


def command(
    show: Annotated[bool, typer.Option("--print", help="Print the files and write nothing.")] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the files and let systemd read them.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also replace files that somebody changed; drop-ins stay.")
    ] = False,
    root: Annotated[Path, typer.Option("--root", help="Another root than /, for an image.")] = Path("/"),
) -> None:
    """Install the systemd service.

    Units for the daemon and for a signer of its own, templates of both for several chains, their hardening and
    their users. Nothing is enabled or started. A file that differs from what would be written is shown and left
    alone without --force; what you change belongs into drop-ins (systemctl edit keeper).

    Example: keeper install-service --print
    """
    import sys

    from keeper import installation
    from keeper.cli.endings import say, usage
    from keeper.errors import EXIT_FINDINGS, ConfigError

    if show == apply:
        raise usage("--print | --apply", "say one of them")
    python = Path(sys.executable)
    wanted = installation.service_files(python)
    why_not = installation.problems(python, Path(sys.base_prefix))
    if apply and why_not and root == Path("/"):
        raise ConfigError(why_not)
    for why in why_not:
        say(why)
    if show:
        print("\n".join(f"# /{f.path}\n{f.text}" for f in wanted), end="")
        return
    differing = installation.differences(wanted, root)
    if differing and not force:
        print("\n".join(differing))
        say(f"{len(differing)} files differ and nothing was written: --force replaces them")
        raise typer.Exit(EXIT_FINDINGS)
    _apply(wanted, root)


def _apply(wanted: tuple[ServiceFile, ...], root: Path) -> None:
    """Files, users, then systemd's own reading of them; the last two only on the machine itself."""
    from keeper import installation

    for path in installation.install(wanted, root):
        print(path)
    if root == Path("/"):
        _told("systemd-sysusers", "/etc/sysusers.d/keeper.conf")
        if Path("/run/systemd/system").is_dir():
            _told("systemctl", "daemon-reload")
    print(NEXT)


def _told(*line: str) -> None:
    """Run one of systemd's own commands. Raises KeeperError with its words."""
    import subprocess

    from keeper.errors import KeeperError

    try:
        subprocess.run(line, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as e:
        words = getattr(e, "stderr", "") or str(e)
        raise KeeperError(f"{' '.join(line)}: {words.strip()}") from e

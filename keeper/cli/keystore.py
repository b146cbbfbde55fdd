"""``keeper keystore``: a new key for the keeper's wallet, never shown and never unsealed on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NEXT = """\
next: in keeper.toml, under [wallet], set address to this, keystore to {out}, and password_file to a file of mode
0600 that holds the password; keep copies of both elsewhere; keeper check opens the keystore with it: send nothing
to the address before it no longer names the key"""


def command(
    out: Annotated[Path, typer.Option("--out", help="The new file; one that is there is kept.")] = Path(
        "keystore.json"
    ),
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="A file of mode 0600 with the password, instead of asking."),
    ] = None,
) -> None:
    """Make a new key for the keeper's wallet.

    The key is random, sealed as keystore v3 before it is written (mode 0600), and printed nowhere: only its
    address is. The password is asked twice on the terminal, or read from a file; it is never an argument.

    Example: keeper keystore --out keystore.json
    """
    from keeper.cli.endings import say
    from keeper.signer.making import make_keystore

    say("sealing the key takes a second or two")
    typer.echo(make_keystore(out, _password(password_file)))
    say(NEXT.format(out=out), prefix="")


def _password(file: Path | None) -> str:
    """Raises ConfigError: the file cannot be used, is readable by others, or two answers differ."""
    from keeper.cli.endings import usage
    from keeper.errors import ConfigError
    from keeper.signer.key import read_secret

    if file is not None:
        try:
            return read_secret(file).rstrip(b"\r\n").decode()
        except UnicodeDecodeError:
            raise ConfigError((f"{file}: is not text",)) from None
    import getpass
    import sys

    if not sys.stdin.isatty():
        raise usage("--password-file", "is required where there is no terminal to ask on")
    first, second = getpass.getpass("password for the new key: "), getpass.getpass("the same again: ")
    if first != second:
        raise ConfigError(("password: the two answers differ; nothing was written",))
    return first


def asked_once(file: Path | None) -> bytes:
    """The password of a keystore that is there: of a file, or asked on the terminal. Raises ConfigError; exit 2."""
    from keeper.cli.endings import usage
    from keeper.daemon.senders import credentials_dir
    from keeper.signer.key import find_secret, read_secret

    if file is not None:
        return read_secret(find_secret(file, credentials_dir()), credentials_dir()).rstrip(b"\r\n")
    import getpass
    import sys

    if not sys.stdin.isatty():
        raise usage("--password-file", "is required where there is no terminal to ask on")
    return getpass.getpass("password of the keystore: ").encode()

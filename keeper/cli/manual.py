"""keeper(1): the manual page, made of the commands themselves when a wheel is built (``hatch_build.py``)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer.main

from keeper.cli import EPILOG, app

FILES = (
    ("keeper.toml", "the configuration; keeper init writes one, --config names another"),
    ("STATE_DIR/journal.sqlite", "what was seen, decided and done"),
    ("STATE_DIR/control.sock", "where the running daemon is spoken to"),
)


def page(version: str) -> str:
    """The page as roff (man(7)): every command with its options in the words of its ``--help``."""
    root = typer.main.get_command(app)
    lines = [
        # no date: the same source builds the same bytes
        f'.TH KEEPER 1 "" "keeper {version}" "User Commands"',
        ".SH NAME",
        rf"keeper \- {_text('on-chain keeper and liquidation-protection daemon')}",
        ".SH SYNOPSIS",
        ".B keeper",
        _text("[OPTIONS] COMMAND [ARGS]..."),
        ".SH DESCRIPTION",
        *_prose(str(root.help)),
        ".SH OPTIONS",
        *_options(root, root.make_context("keeper", [], resilient_parsing=True)),
        ".SH COMMANDS",
    ]
    commands: dict[str, Any] = root.commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        lines += _command(name, command)
    lines += [".SH EXIT STATUS", *_prose(EPILOG.removeprefix("Exit codes: ")), ".SH FILES"]
    for path, what in FILES:
        lines += [".TP", rf"\fI{_text(path)}\fP", _text(what)]
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    context = command.make_context(f"keeper {name}", [], resilient_parsing=True)
    yield f'.SS "keeper {name}"'
    yield ".B " + _text(" ".join(["keeper", name, *command.collect_usage_pieces(context)]))
    yield ".PP"
    yield from _prose(command.help or "")
    yield from _options(command, context, but=("help",))


def _options(command: Any, context: Any, but: tuple[str, ...] = ()) -> Iterator[str]:
    """A tagged paragraph for each parameter that ``--help`` shows."""
    for parameter in command.get_params(context):
        told = parameter.get_help_record(context)
        if told is not None and parameter.name not in but:
            yield from (".TP", rf"\fB{_text(told[0])}\fP", *_prose(told[1] or " "))


def _prose(text: str) -> Iterator[str]:
    """Paragraphs, each filled anew by the reader."""
    for n, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if n:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """``text`` of which roff takes nothing for a command of its own."""
    safe = text.replace("\\", r"\e").replace("-", r"\-")
    # a full stop or an apostrophe begins a request only at the beginning of a line
    return rf"\&{safe}" if safe[:1] in (".", "'") else safe

"""Pages of the documentation as a reader meets them: blocks, their command lines, commands named in passing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")
_HEADING = re.compile(r"^#{1,4} (.*)$")
_NAMED = re.compile(r"`(?:\.venv/bin/)?keeper ([a-z][^`]*)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: where it stands, what it is written in, its lines without the page's indentation."""

    page: str
    line: int
    """Of its first line of text, from 1."""
    section: str
    language: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole."""
        return "\n".join(self.lines)

    @property
    def commands(self) -> tuple[Command, ...]:
        """Its command lines: continued ones joined, comments and empty lines left out."""
        found, kept, first = list[Command](), "", 0
        for number, line in enumerate(self.lines, self.line):
            first = first if kept else number
            if line.endswith("\\"):
                kept += line[:-1] + " "
                continue
            whole, kept = (kept + line).strip(), ""
            if words := shlex.split(whole, comments=True):
                found.append(
                    Command(page=self.page, line=first, section=self.section, words=tuple(words), shell=whole)
                )
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command line of a page, as words."""

    page: str
    line: int
    section: str
    words: tuple[str, ...]
    shell: str
    """As it stands there, pipes and redirections with it."""

    @property
    def place(self) -> str:
        """``page:line``."""
        return f"{self.page}:{self.line}"

    @property
    def where(self) -> str:
        """``page:line: words``, for whoever has to mend it."""
        return f"{self.place}: {self.text}"

    @property
    def text(self) -> str:
        """The line, quoted as a shell would take it."""
        return shlex.join(self.words)

    @property
    def keeper(self) -> tuple[str, ...] | None:
        """What is said to ``keeper``, wherever the line calls it from and whatever becomes of its output."""
        for n, word in enumerate(self.words):
            if word.endswith("bin/keeper") or (word == "keeper" and n == 0):
                said = self.words[n + 1 :]
                return said[: said.index(">")] if ">" in said else said
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A command named within a sentence or in a table: `` `keeper grant --executor LABEL` ``."""

    page: str
    line: int
    words: tuple[str, ...]

    @property
    def where(self) -> str:
        """``page:line: words``."""
        return f"{self.page}:{self.line}: keeper {' '.join(self.words)}"

    @property
    def options(self) -> tuple[str, ...]:
        """Long options in it, brackets of a synopsis taken off."""
        return tuple(re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(self.words)))


def pages(*patterns: str) -> tuple[Path, ...]:
    """Pages of the repository by glob, in order. A pattern that finds none is an error."""
    found = [sorted(ROOT.glob(p)) for p in patterns]
    assert all(found), patterns
    return tuple(path for some in found for path in some)


def blocks(page: Path) -> tuple[Block, ...]:
    """The fenced blocks of a page. ValueError where one is never closed."""
    name = page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name
    found, section = list[Block](), ""
    opened: tuple[int, str, str] | None = None
    kept = list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is not None and fence and not fence[2]:
            at, indent, language = opened
            told = tuple(x.removeprefix(indent) for x in kept)
            found.append(Block(page=name, line=at + 1, section=section, language=language, lines=told))
            opened, kept = None, []
        elif opened is not None:
            kept.append(line)
        elif fence:
            opened = (number, fence[1], fence[2])
        elif heading := _HEADING.match(line):
            section = heading[1]
    if opened is not None:
        raise ValueError(f"{name}:{opened[0]}: a block that is never closed")
    return tuple(found)


def commands(page: Path, *sections: str) -> tuple[Command, ...]:
    """The command lines of a page's ``sh`` blocks; of these sections only, where some are named."""
    told = [b for b in blocks(page) if b.language == "sh" and (not sections or b.section in sections)]
    assert {b.section for b in told} >= set(sections), (page, sections)
    return tuple(c for b in told for c in b.commands)


def named(page: Path) -> Iterator[Named]:
    """Commands named outside of blocks; a span may run over the end of a line."""
    text, inside = page.read_text(encoding="utf-8"), list[str]()
    fenced = False
    for line in text.splitlines():
        fenced = fenced != bool(_FENCE.match(line))
        inside.append("" if fenced or _FENCE.match(line) else line)
    whole = "\n".join(inside)
    for match in _NAMED.finditer(whole):
        words = tuple(match[1].replace("\\|", "|").split())
        yield Named(
            page=page.relative_to(ROOT).as_posix(), line=whole.count("\n", 0, match.start()) + 1, words=words
        )

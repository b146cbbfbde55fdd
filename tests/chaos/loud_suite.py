"""The whole suite as loud as it can be, then every file that it left searched for the secrets that it held.

``python -m tests.chaos.loud_suite [files]``: each process, pytest's workers, daemons, signers and commands alike, is
at DEBUG, its local nodes are reached by URLs with a token (see ``loud/sitecustomize.py``), and every key, password
and token that passes through it is noted down. Logs, output, tracebacks, journals and stores are searched for each of
them in each form; only the files that are there to hold a secret (read as a keystore, a password, a configuration or
what it names) are not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import record
from tests.chaos.loud.sitecustomize import TOKEN

ROOT = Path(__file__).parents[2]
HOOK = Path(__file__).parent / "loud"
FIXED = {
    "token of an alarm target or a bot": b"SECRETTOKEN",
    "token of an endpoint": TOKEN.encode(),
}
WHOLE = (
    *("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", "-m", "not chaos and not bench"),
    # what tests the search plants what is to be found
    "--ignore=tests/chaos/test_chaos_loud_suite.py",
)
ENDED = re.compile(rb"(\d+) (passed|failed|errors?)\b")
DEBUG = (b"[DEBUG]", b"[debug", b'"level": "debug"')
"""How a line of that level begins: the standard library's, a console's, one of JSON."""
SPARED = {"keeper.toml", "password", "pw", "targets", "token"}
"""Secrets by name, for some of them are refused before they are read, or named by no file of a configuration."""
OWN = ("keeper", "strategies", "anvil", "tests", "docs")
"""A copy of the project's own text, which some tests build from, tells nothing that is not there already."""
PROGRESS_S = 30.0
SHOWN_MAX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a loud run left and what was found in it."""

    hits: tuple[str, ...]
    files: int
    size: int
    """Bytes."""
    journals: int
    needles: int
    passed: int
    broken: int
    """Tests that failed or could not begin: what they would have left was not searched."""
    processes: int
    debug: int
    """Lines of a log or an output that are of the level DEBUG."""


def run(folder: Path, words: Iterable[str]) -> Searched:
    """``folder``: empty; holds everything that the run writes. ``words``: of pytest's command line."""
    said, held, left = (folder / name for name in ("said", "held", "left"))
    for made in (said, held):
        made.mkdir(mode=0o700)
    env = {**os.environ, "LOUD_SAID": str(said), "LOUD_HELD": str(held), "PYTHONFAULTHANDLER": "1"}
    env["PYTHONPATH"] = os.pathsep.join([str(HOOK), *filter(None, [os.environ.get("PYTHONPATH")])])
    kept = ("tmp_path_retention_policy=all", "junit_logging=out-err", "junit_log_passing_tests=true")
    line = [sys.executable, "-m", "pytest", f"--basetemp={left}", f"--junitxml={said / 'junit.xml'}"]
    line += [word for option in kept for word in ("-o", option)]
    with (said / "pytest.log").open("wb") as out:
        process = subprocess.Popen([*line, *words], cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            _tell(process, said / "pytest.log")
        finally:
            process.terminate()
            process.wait()
    return search(folder)


def search(folder: Path) -> Searched:
    """Everything below ``folder`` but what is noted down of secrets."""
    held = folder / "held"
    secrets, spared = needles(held.glob("*.needles"))
    files = [p for p in sorted(folder.rglob("*")) if _searched(p, held)]
    own = set(_own())
    hits, size, journals, debug = [], 0, 0, 0
    for path in files:
        content = path.read_bytes()
        size += len(content)
        journals += content[:15] == b"SQLite format 3"
        debug += sum(content.count(mark) for mark in DEBUG)
        if str(path) not in spared and path.name not in SPARED and content not in own:
            hits += [f"{path.relative_to(folder)}: {kind}" for kind, text in secrets if text in content]
    last = ([b"", *(folder / "said" / "pytest.log").read_bytes().splitlines()])[-1]
    ended = {word: int(count) for count, word in ENDED.findall(last)}
    return Searched(
        hits=tuple(hits),
        files=len(files),
        size=size,
        journals=journals,
        needles=len(secrets),
        passed=ended.pop(b"passed", 0),
        broken=sum(ended.values()),
        processes=len(list((folder / "said").glob("*.out"))),
        debug=debug,
    )


def needles(noted: Iterable[Path]) -> tuple[list[tuple[str, bytes]], set[str]]:
    """((kind, secret) each once, the files that are there to hold one)."""
    lines = {line for path in noted for line in path.read_text(encoding="ascii").splitlines()}
    pairs = {(kind, bytes.fromhex(text)) for kind, _, text in (line.partition("\t") for line in lines)}
    spared = {os.fsdecode(text) for kind, text in pairs if kind == "file"}
    secrets = {(kind, text) for kind, text in pairs if kind != "file"} | set(FIXED.items())
    return sorted(secrets), spared


def _searched(path: Path, held: Path) -> bool:
    return path.is_file() and not path.is_symlink() and held not in path.parents


def _own() -> Iterator[bytes]:
    for name in OWN:
        for path in (ROOT / name).rglob("*"):
            if path.suffix in (".py", ".md") and "node_modules" not in path.parts:
                yield path.read_bytes()


def _tell(process: subprocess.Popen[bytes], log: Path) -> None:
    told_s = time.monotonic()
    while process.poll() is None:
        time.sleep(0.5)
        if time.monotonic() - told_s >= PROGRESS_S:
            told_s = time.monotonic()
            shown = [*_shown(log)]
            print(f"loud: {shown[-1] if shown else 'nothing yet'}", flush=True)


def _shown(log: Path) -> Iterator[str]:
    return (line for line in log.read_text(errors="replace").splitlines() if line.strip())


def main(words: list[str]) -> int:
    """Exit code: 0 where the suite ran and nothing was found."""
    folder = Path(tempfile.mkdtemp(prefix="keeper-loud-"))
    found = run(folder, (*WHOLE, *words))
    good = not found.hits and not found.broken and found.passed > 0
    record("canary_hits", len(found.hits), bound="= 0", holds=good, evidence="real_bytecode", n=found.files)
    print(
        f"{found.passed} tests passed, {found.broken} did not, in {found.processes} processes; {found.files} files "
        f"of {found.size / 1e6:.0f} MB, {found.journals} of them journals or stores, with {found.debug} lines at "
        f"DEBUG, searched for {found.needles} secrets: {len(found.hits)} hits; they lie in {folder}"
    )
    for hit in found.hits[:SHOWN_MAX]:
        print(f"    {hit}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

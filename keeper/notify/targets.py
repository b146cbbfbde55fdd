"""Where alarms go: one target a line in a file that only the keeper reads, named without what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from keeper.seams import Severity

RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}
ESCALATION = "escalate"
_LEAST = {s.value.lower(): s for s in Severity}
TARGETS_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One person's mailbox, chat or phone."""

    name: str
    """Scheme and line: ``tgram (line 2)``. The rest of the URL is a secret."""
    url: str = field(repr=False)
    least: Severity = Severity.INFO
    """What is less severe is not sent there."""
    escalation: bool = False
    """Hears only CRITICAL alarms that nobody acknowledged in time."""

    def wants(self, severity: Severity) -> bool:
        """Whether an alarm that severe goes there."""
        return RANK[severity] >= RANK[self.least]


def targets_from(text: str) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """(targets, problems) of a file: ``[info|warning|critical|escalate] URL`` a line, # for comments.

    A problem names its line and never what stands there: the file is a secret.
    """
    found: list[Target] = []
    problems: list[str] = []
    for n, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        word = words.pop(0).lower() if "://" not in words[0] else "info"
        if len(words) != 1 or "://" not in words[0] or word not in (*_LEAST, ESCALATION):
            problems.append(
                f"line {n}: is not [info|warning|critical|escalate] and one URL such as ntfy://..."
            )
            continue
        scheme = words[0].partition("://")[0]
        named = f"{scheme if scheme.isalnum() and len(scheme) <= 16 else 'target'} (line {n})"
        escalation = word == ESCALATION
        least = Severity.CRITICAL if escalation else _LEAST[word]
        found.append(Target(name=named, url=words[0], least=least, escalation=escalation))
    if len(found) > TARGETS_MAX:
        problems.append(f"{len(found)} targets; the first {TARGETS_MAX} are used")
    return tuple(found[:TARGETS_MAX]), tuple(problems)

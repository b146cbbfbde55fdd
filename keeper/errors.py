"""Errors by what must happen next.

    KeeperError
    ├─ ConfigError    refuse to start, list every problem at once, exit 78
    │   └─ Held       another process has what it needs: under a unit, of one that has served, tried again
    ├─ Transient      retry inside the tick's deadline, then the position becomes Unreadable
    │   ├─ Rejected   the node answered, with an error; its code, message and data are kept
    │   └─ Disputed   endpoints contradict each other in what must be sure: sign nothing, ask again
    ├─ Unread         this position is UNKNOWN: keep the rest going, alarm by age, never healthy
    ├─ Raced          the chain or the journal moved: drop the plan, the next tick decides anew
    └─ Broken         an invariant failed: stop acting, keep watching, alarm loudly
        ├─ Unwritable a disk takes nothing just now: sign nothing, keep watching, alarm, go on when it does
        └─ Unsigned   the signer does not allow one request: that plan is not sent or raised, nothing else stops

An expected "no" is not an error but a value: see ``keeper.model.Refusal``.
"""

import errno

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 69
EXIT_BROKEN = 70
EXIT_CONFIG = 78


class KeeperError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(KeeperError):
    """The configuration cannot be used; ``problems`` lists every reason at once."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Held(ConfigError):
    """Another process holds the journal or listens at the control socket; its end makes way, however it comes."""


class Transient(KeeperError):
    """A read failed in a way that may pass: time-out, dead endpoint, rate limit, malformed answer."""


POOL_HOLDS = (
    "already known",
    "alreadyknown",
    "already imported",
    "known transaction",
    "existing tx with same hash",
)
"""How six clients say that bytes sent once more are in their pool."""


class Rejected(Transient):
    """A node answered a JSON-RPC call with an error object (a revert included)."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"{message} (code {code})")


class Disputed(Transient):
    """Endpoints contradict each other where a signature depends on it; nothing new is signed until they agree."""


def pool_holds(answer: str | Exception) -> bool:
    """Whether a node's answer to a broadcast (a hash, or its error) says that its pool has the bytes."""
    return isinstance(answer, str) or (
        isinstance(answer, Rejected) and any(words in answer.message.lower() for words in POOL_HOLDS)
    )


class Unread(KeeperError):
    """One position, or one market, cannot be read truthfully; it is UNKNOWN until it can."""


class Raced(KeeperError):
    """The chain or the journal moved under a plan; nothing was done and the next tick decides anew."""


class Broken(KeeperError):
    """An invariant of our own failed; acting stops until a person has looked."""


class Unwritable(Broken):
    """A disk is full, read-only or failing: nothing was kept, nothing may be signed until a write succeeds."""


class Undecodable(Broken):
    """Stored text is no record of ours; who knows the file says which it is."""


class Unsigned(Broken):
    """The signer refused one request and signed nothing; the plan's position is told, the others go on."""


_WRONG_PLACE = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
    }
)


def unopened(error: OSError, told: str) -> ConfigError | Unwritable:
    """What a file that cannot be opened means: ConfigError where the place that was named is wrong and stays so,
    Unwritable for all that a disk or a machine may get over (full, read-only, failing, out of descriptors).
    """
    # one without a number is Python's own word about the path
    if error.errno is None or error.errno in _WRONG_PLACE:
        return ConfigError((told,))
    return Unwritable(told)

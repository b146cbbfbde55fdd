"""What a node's error is about: the question, the node's own copy of the chain, or its trouble with itself."""

from __future__ import annotations

import re
from enum import Enum

from keeper.errors import Rejected


class About(Enum):
    """Whose fault an error is."""

    QUESTION = "question"
    """A verdict: every node would say the same, so it is the answer."""
    COPY = "copy"
    """This replica lags, is pruned, or lacks the method: another may know, and this one is well."""
    NODE = "node"
    """A key, a quota, its gateway, a time-out: nothing was said about the question."""


_VERDICT = re.compile(
    r"out ?of ?(gas|funds)|gas required|gas limit|intrinsic gas|insufficient.{0,10}(funds|balance)|exceeds.?balance"
    r"|invalid.{0,4}(opcode|jump)|bad ?instruction|vm execution error|stack ?(under|over)flow|nonce too"
    r"|underpriced|already known|max fee|fee cap|max priority",
    re.IGNORECASE,
)
_REVERT = re.compile(r"revert|vm exception", re.IGNORECASE)
"""Whatever follows is a contract's own text."""
_VERDICT_CODES = frozenset({3, -32015})
_COPY = re.compile(
    r"(header|block|state|trie node|resource|historical).{0,60}"
    r"(not found|not available|unavailable|missing|could not be found|pruned)"
    r"|(unknown|missing|cannot find|could not find|pruned).{0,20}(block|header|trie node|state)"
    r"|BlockOutOfRange|not currently canonical|^internal error$|internal server error",
    re.IGNORECASE,
)
"""A lagging or pruned replica does not know a fresh block hash; another endpoint may."""
_COPY_CODES = frozenset({-32601, -32602, -32001, -32002, -32004})
"""EIP-1474: method not found, invalid params, resource not found, resource unavailable, method not supported."""
_YOUNG = re.compile(r"(header|block|hash).{0,60}not found|unknown (block|header)", re.IGNORECASE)


def about(error: Rejected) -> About:
    """Whose fault the error is; what is not known to be a verdict is none."""
    if error.data is not None or error.code in _VERDICT_CODES or _REVERT.search(error.message):
        return About.QUESTION
    if error.code in _COPY_CODES or _COPY.search(error.message):
        return About.COPY
    return About.QUESTION if _VERDICT.search(error.message) else About.NODE


def elsewhere(error: Rejected) -> bool:
    """Whether another endpoint might answer what this one refused. A revert is an answer."""
    return about(error) is not About.QUESTION


def gone(error: Rejected) -> bool:
    """Whether the node says that a block is not, or no more, of its chain."""
    return "canonical" in error.message


def young(error: Rejected) -> bool:
    """Whether a block may only be too new for the node, rather than gone from the chain."""
    return bool(_YOUNG.search(error.message)) and not gone(error)


__all__ = ["About", "about", "elsewhere", "gone", "young"]

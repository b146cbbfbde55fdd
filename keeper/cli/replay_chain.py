"""``keeper replay --chain``: the same history on a local chain with the real protocols, beside the paper market."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keeper.cli import replay_guards, replaying, subject, table
from keeper.cli.endings import say
from keeper.cli.replayed import Scene
from keeper.errors import EXIT_UNREACHABLE

if TYPE_CHECKING:
    from keeper.cli.replay import Asked

HEADERS = (
    "account",
    "keeper",
    "moments",
    "health apart",
    "liquidated at",
    "on chain",
    "refused there",
    "cost USD",
    "on chain USD",
)


def run(asked: Asked, scene: Scene) -> int:
    """1 where paper and chain disagree by more than is stated, else 0."""
    import keeper

    policy = replay_guards.chained(scene)
    root = Path(keeper.__file__).resolve().parents[1]
    if not (root / "anvil" / "replayed.py").is_file() or not (root / "anvil" / "node_modules").is_dir():
        say(
            "replaying on a chain needs a checkout of the repository with its packages: run `make demo` there once"
        )
        return EXIT_UNREACHABLE
    sys.path.insert(0, str(root))
    from anvil.replayed import compared

    found = compared(scene.crew, scene.moved, policy)
    left_out = [*(f"{name}: {why}" for name, why in scene.crew.left_out), *found.left_out]
    if asked.json:
        print(
            table.document(
                {
                    "chain": [c.document() for c in found.compared],
                    "left_out": left_out,
                    "notes": list(scene.moved.notes),
                }
            )
        )
    else:
        table.show(HEADERS, [c.cells() for c in found.compared])
        for line in (*replaying.noted(scene.moved), *(f"left out: {x}" for x in left_out)):
            subject.say(line)
        subject.say(found.said())
    return int(not found.ok)

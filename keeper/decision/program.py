"""The door to the solver: a mixed-integer linear program in, the values of its columns out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keeper.errors import Broken

if TYPE_CHECKING:
    from highspy import HighsLp

GAP = 1e-3
"""Relative gap to the optimum at which the search ends: ten cents on a hundred dollars."""
TIME_S = 0.5
"""Longest search; what is not solved by then is ranked plainly. A search takes a fiftieth of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One variable from 0 to ``upper``; ``whole``: integers only."""

    cost: float
    upper: float
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """lower <= sum(value x column) <= upper."""

    entries: tuple[tuple[int, float], ...]
    lower: float = -float("inf")
    upper: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Minimise the columns' cost under the rows."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def minimum(program: Program) -> Sequence[float] | None:
    """Values of the columns at the least cost, or None when the rows cannot all hold.

    Deterministic: one thread, no answer that a clock cut short. Raises Broken when the solver gives up.
    """
    if not program.columns:
        return [] if all(r.lower <= 0.0 <= r.upper for r in program.rows) else None
    import highspy  # a quarter of a second to load: only who plans pays it

    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in _OPTIONS.items():
        solver.setOptionValue(name, value)
    solver.passModel(_model(program))
    solver.run()
    status = solver.getModelStatus()
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return None
    found = solver.getSolution()
    # an answer that a clock cut short would be another one on another day
    if status != highspy.HighsModelStatus.kOptimal or not found.value_valid:
        raise Broken(f"the solver ended with {solver.modelStatusToString(status)}")
    return [max(0.0, float(v)) for v in found.col_value]


def warm() -> None:
    """Load the solver before it is needed: the first rescue must not wait a quarter of a second for it."""
    minimum(Program(columns=(Column(cost=1.0, upper=1.0),), rows=(Row(entries=((0, 1.0),), lower=0.5),)))


_OPTIONS: dict[str, bool | int | float | str] = {
    "output_flag": False,
    "threads": 1,
    "parallel": "off",
    "mip_rel_gap": GAP,
    "time_limit": TIME_S,
    # programs of a hundred columns: what is done for large ones took most of the time, and of the worst half
    "presolve": "off",
    # trying branches before taking one costs more than the nodes it spares in programs of this size
    "mip_pscost_minreliable": 0,
    "mip_detect_symmetry": False,
    "mip_heuristic_effort": 0.0,
    "mip_heuristic_run_feasibility_jump": False,
    "mip_heuristic_run_root_reduced_cost": False,
    "mip_heuristic_run_rins": False,
    "mip_heuristic_run_rens": False,
}


def _model(program: Program) -> HighsLp:
    import highspy

    lp = highspy.HighsLp()
    columns, rows = program.columns, program.rows
    lp.num_col_, lp.num_row_ = len(columns), len(rows)
    lp.col_cost_ = np.array([c.cost for c in columns], dtype=np.float64)
    lp.col_lower_ = np.zeros(len(columns))
    lp.col_upper_ = np.array([c.upper for c in columns], dtype=np.float64)
    lp.row_lower_ = np.array([r.lower for r in rows], dtype=np.float64)
    lp.row_upper_ = np.array([r.upper for r in rows], dtype=np.float64)
    kinds = highspy.HighsVarType
    lp.integrality_ = [kinds.kInteger if c.whole else kinds.kContinuous for c in columns]
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.cumsum([0, *(len(r.entries) for r in rows)], dtype=np.int32)
    lp.a_matrix_.index_ = np.array([c for r in rows for c, _ in r.entries], dtype=np.int32)
    lp.a_matrix_.value_ = np.array([v for r in rows for _, v in r.entries], dtype=np.float64)
    return lp

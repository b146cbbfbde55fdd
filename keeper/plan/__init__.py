"""Proposal -> plan: one step is one call in one transaction, bounded in health, money, fees and time."""

from keeper.plan.compile import compile_plan
from keeper.plan.guard import Case, Relieves, check

__all__ = ["Case", "Relieves", "check", "compile_plan"]

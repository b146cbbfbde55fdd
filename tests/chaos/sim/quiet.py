"""A simulation says nothing but its verdicts."""

from __future__ import annotations

import logging

import structlog

SILENT = logging.CRITICAL


def quiet() -> None:
    """No log line of the code under test, and its kernels compiled before the first seed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(SILENT))
    logging.disable(logging.CRITICAL)

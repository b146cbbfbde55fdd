"""A simulation says nothing but its verdicts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


def quiet() -> None:
    """No log line of the code under test, for the rest of the process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)


@contextmanager
def hushed() -> Iterator[None]:
    """The same for a while."""
    before = structlog.get_config()
    quiet()
    try:
        yield
    finally:
        structlog.configure(**before)
        logging.disable(logging.NOTSET)

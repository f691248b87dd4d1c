"""Every promise is tried twice: with unary calls, and with streams."""

from __future__ import annotations

import pytest


@pytest.fixture(params=[False, True], ids=["unary", "streams"])
def streams(request: pytest.FixtureRequest) -> bool:
    """Whether callers stream."""
    return bool(request.param)

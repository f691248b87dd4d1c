"""Drivers keep to the protocol, whatever their clients do."""

from __future__ import annotations

import json
import subprocess

import pytest
from clients.conformance.drivers import ROOT
from clients.conformance.languages import languages
from tests.conformance.conftest import Drivers, needed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REQUESTS = [
    {"id": 7, "op": "connect", "target": "127.0.0.1:9", "retry_timeout": 0},
    {"id": 8, "op": "list_workflows"},
    {"id": 9, "op": "no_such_operation"},
]


@pytest.mark.parametrize("name", languages())
def test_a_driver_answers_in_order_and_ends_with_its_input(name: str, drivers: Drivers) -> None:
    language = needed(name)
    drivers.build(language)
    done = subprocess.run(
        language.driver,
        input="".join(f"{json.dumps(one)}\n" for one in REQUESTS),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    connected, listed, refused = (json.loads(line) for line in done.stdout.splitlines())
    assert connected == {"id": 7, "result": {}}
    assert (listed["id"], listed["error"]["code"]) == (8, "UNAVAILABLE")
    assert refused["id"] == 9
    assert "refused" in refused

"""The harness measures what it starts, and writes down what it found; the peers are not needed."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from tests.support.commands import ROOT, environment, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a look at two measurements gave, Interlock beside the floor."""
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "cycles,gates"]
    brief = ["--against", "floor", "--rounds", "2", "--seconds", "0.2", "--lanes", "2,16"]
    done = run([*command, *brief, "--results", str(folder)], environment(""), ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_a_figure_stands_beside_its_target(results: dict[str, Any]) -> None:
    [figure] = results["cycles"]["figures"]
    assert figure["target"] == 0.7
    assert len(figure["value"]["values"]) == 2
    assert all(0.0 < ratio < 2.0 for ratio in figure["value"]["values"])
    [[_, _, target, reached]] = results["cycles"]["shown"][0]["rows"]
    assert target == "at least 0.70"
    assert reached in ("yes", "no")


def test_everybody_has_turns_with_every_number_at_once(results: dict[str, Any]) -> None:
    for name, measured in (
        ("cycles", ["Interlock", "floor"]),
        ("gates", ["gated step", "gated tool", "floor"]),
    ):
        [chart] = results[name]["charts"]
        assert [line["name"] for line in chart["lines"]] == measured
        for line in chart["lines"]:
            assert line["xs"] == ["2", "16"]
            assert all(rate > 0 for one in line["samples"] for rate in one["values"])


def test_cpu_time_is_that_of_whoever_used_it(results: dict[str, Any]) -> None:
    heads, rows = (results["cycles"]["tables"][0][part] for part in ("heads", "rows"))
    for row in rows:
        used = dict(zip(heads, row, strict=True))
        server, client, database, everything = (
            float(used[who].split(" ")[0]) for who in ("server", "client", "database", "all CPU")
        )
        assert min(server, client, database) > 0
        assert everything == pytest.approx(server + client + database, rel=0.2)


def test_a_result_says_where_it_comes_from(results: dict[str, Any]) -> None:
    for result in results.values():
        assert result["machine"]["PostgreSQL, fsync"] == "on"
        assert result["machine"]["PostgreSQL, synchronous_commit"] == "on"
        assert result["versions"]["Interlock"]
        assert result["load_per_core"] >= 0

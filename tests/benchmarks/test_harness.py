"""The harness measures what it starts, and writes down what it found; the peers are not needed."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from tests.support.commands import ROOT, environment, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a look at the cycles gave, Interlock beside the floor."""
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "cycles"]
    brief = ["--against", "floor", "--rounds", "2", "--seconds", "0.5", "--lanes", "2,16"]
    done = run([*command, *brief, "--results", str(folder)], environment(""), ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads((folder / "cycles.json").read_text())


def test_a_figure_stands_beside_its_target(result: Any) -> None:
    [figure] = result["figures"]
    assert figure["target"] == 0.7
    assert len(figure["value"]["values"]) == 2
    assert all(0.0 < ratio < 2.0 for ratio in figure["value"]["values"])
    [[_, _, target, reached]] = result["shown"][0]["rows"]
    assert target == "at least 0.70"
    assert reached in ("yes", "no")


def test_everybody_has_turns_with_every_number_at_once(result: Any) -> None:
    [chart] = result["charts"]
    assert [line["name"] for line in chart["lines"]] == ["Interlock", "floor"]
    for line in chart["lines"]:
        assert line["xs"] == ["2", "16"]
        assert all(rate > 0 for one in line["samples"] for rate in one["values"])


def test_cpu_time_is_that_of_whoever_used_it(result: Any) -> None:
    [table, _] = result["tables"]
    for row in table["rows"]:
        used = dict(zip(table["heads"], row, strict=True))
        server, client, database, everything = (
            float(used[who].split(" ")[0]) for who in ("server", "client", "database", "all CPU")
        )
        assert everything > 0
        assert everything == pytest.approx(server + client + database, rel=0.2)


def test_a_result_says_where_it_comes_from(result: Any) -> None:
    assert result["machine"]["PostgreSQL, fsync"] == "on"
    assert result["machine"]["PostgreSQL, synchronous_commit"] == "on"
    assert result["versions"]["Interlock"]
    assert result["load_per_core"] >= 0

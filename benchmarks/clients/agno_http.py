"""The client of Agno's server: two posts of a form for each cycle, over connections that stay."""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid

import httpx

from benchmarks import lanes
from benchmarks.contenders import case


async def main(target: str) -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=target, limits=limits, timeout=None) as http:

        async def cycle() -> None:
            session = uuid.uuid4().hex
            place = f"/workflows/{case.WORKFLOW}/runs"
            form = {"message": case.QUESTION, "session_id": session, "stream": "false"}
            run = (await http.post(place, data=form)).raise_for_status().json()
            assert run["status"] == "PAUSED", run
            waiting = run["step_requirements"]
            for step in waiting:
                for requirement in step["executor_requirements"]:
                    requirement["confirmation"] = True
                    requirement["tool_execution"]["confirmed"] = True
            form = {"step_requirements": json.dumps(waiting)} | {
                "session_id": session,
                "stream": "false",
            }
            run = await http.post(f"{place}/{run['run_id']}/continue", data=form)
            assert run.raise_for_status().json()["content"] == case.RECEIPT, run

        await lanes.obey(lanes.driver(cycle))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    asyncio.run(main(parser.parse_args().target))

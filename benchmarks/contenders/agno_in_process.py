"""Agno in process: the workflow runs where the cycles are driven from."""

from __future__ import annotations

import argparse
import asyncio
import uuid

from agno.db.postgres import AsyncPostgresDb

from benchmarks import lanes
from benchmarks.contenders import case
from benchmarks.contenders.agno_case import confirm, workflow


async def main(database_url: str) -> None:
    database = AsyncPostgresDb(db_url=database_url)
    refunds = workflow(database)

    async def cycle() -> None:
        run = await refunds.arun(case.QUESTION, session_id=uuid.uuid4().hex)
        confirm(run)
        run = await refunds.acontinue_run(run)
        assert run.content == case.RECEIPT, run

    await lanes.obey(lanes.driver(cycle))
    await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("database_url")
    asyncio.run(main(parser.parse_args().database_url))

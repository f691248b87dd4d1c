"""A worker for a tool with `external_execution`: it takes the calls by itself, run after run.

    python examples/external_worker.py [--model MODEL] [--target HOST:PORT]

Only the worker has the database. Whoever starts a run need not know of it, and however many workers
there are, each call is executed by one of them.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from _common import model, outcome, service
from interlock import Call, Client, Worker
from interlock_server import Agent, Interlock, Step, Workflow, call, tool

BY_CITY = "SELECT city, sum(euros) FROM sales GROUP BY city ORDER BY 2 DESC"
TOTAL = "SELECT sum(euros) FROM sales"


@tool(external_execution=True)
def run_query(sql: str) -> str:
    """Runs a query on the SQLite table sales(city TEXT, euros REAL) and gives the rows as JSON."""
    raise NotImplementedError("runs outside of the service")


analyst = Agent(
    name="Clerk",
    model=model([call("run_query", sql=BY_CITY), call("run_query", sql=TOTAL)], outcome),
    tools=[run_query],
    instructions="Answer questions about sales with two queries at once and one sentence.",
)
app = Interlock([Workflow(name="Reports", steps=[Step(name="ask", agent=analyst)])])


def main() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sales.db"
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE sales (city TEXT, euros REAL)")
            sales = [("Tokyo", 700.0), ("Oslo", 120.0), ("Tokyo", 80.0)]
            database.executemany("INSERT INTO sales VALUES (?, ?)", sales)
            database.commit()

        def query(call: Call) -> list[tuple[str, float]]:
            """What it raises, the agent reads."""
            with closing(sqlite3.connect(path)) as database:
                return database.execute(call.args["sql"]).fetchall()

        with (
            service(app) as target,
            Client(target) as client,
            Worker(client, {"run_query": query}, concurrency=2),
        ):
            run = client.workflow("Reports").run("Which city sells most?", wait_timeout=0)
            for _ in client.watch_run(run):  # Through all pauses, until the run ends.
                pass
            run = client.get_run(run.run_id)
            print(run.content or run.error)


if __name__ == "__main__":
    main()

"""A tool with `external_execution`: the service never runs it; the client does, elsewhere.

    python examples/external_execution.py [--model MODEL] [--target HOST:PORT]

Here the client has the database, and the service, which runs the agent, cannot reach it.
"""

from __future__ import annotations

import sqlite3

from _common import model, outcome, service
from interlock import Client
from interlock_server import Agent, Interlock, Step, Workflow, call, tool

SQL = "SELECT city, sum(euros) FROM sales GROUP BY city ORDER BY 2 DESC"


@tool(external_execution=True)
def run_query(sql: str) -> str:
    """Runs a query on the SQLite table sales(city TEXT, euros REAL) and gives the rows as JSON."""
    raise NotImplementedError("runs outside of the service")


analyst = Agent(
    name="Analyst",
    model=model(call("run_query", sql=SQL), outcome),
    tools=[run_query],
    instructions="Answer questions about sales with one query and one sentence.",
)
app = Interlock([Workflow(name="Sales", steps=[Step(name="ask", agent=analyst)])])


def main() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE sales (city TEXT, euros REAL)")
    sales = [("Tokyo", 700.0), ("Oslo", 120.0), ("Tokyo", 80.0)]
    database.executemany("INSERT INTO sales VALUES (?, ?)", sales)

    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Sales")
        response = workflow.run("Which city sells most?")
        while response.is_paused:
            for executor_req in response.requirements_requiring_external_execution:
                sql = executor_req.tool_execution.tool_args["sql"]
                print(f"Running here: {sql}")
                try:
                    executor_req.tool_execution.result = database.execute(sql).fetchall()
                except sqlite3.Error as error:
                    executor_req.set_external_execution_error(str(error))
            response = workflow.continue_run(response)
        print(response.content or response.error)


if __name__ == "__main__":
    main()

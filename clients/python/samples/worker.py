"""A worker: executes an external call for each that comes, until it is told to stop."""

import os

from interlock import Call, Client, Worker

calls_left = int(os.environ.get("CALLS", "0"))  # 0 means: until it is interrupted


def run_query(call: Call) -> list[list[object]]:
    print(f"Running: {call.args['sql']}")
    return [["Tokyo", 780.0]]


def count(call: Call) -> None:
    global calls_left
    calls_left -= 1
    if calls_left == 0:
        worker.stop()


with Client(os.environ.get("INTERLOCK_TARGET", "localhost:50051")) as client:
    worker = Worker(client, {"run_query": run_query}, on_end=count)
    worker.run()

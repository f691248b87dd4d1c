"""A backend: runs a workflow, approves what it waits for, and prints what comes of it."""

import json
import os

from interlock import Client

with Client(os.environ.get("INTERLOCK_TARGET", "localhost:50051")) as client:
    workflow = client.workflow("WeatherWorkflow")
    run = workflow.run("What is the weather in Tokyo?")

    while run.is_paused:
        for requirement in run.active_requirements:
            call = requirement.tool_execution
            args = json.dumps(call.tool_args, separators=(",", ":"))
            print(f"Waiting: {call.tool_name} {args}")
            requirement.confirm()
        run = workflow.continue_run(run)

    print(f"Done: {run.content}")

"""The inbox: somebody approves what waits, in a process that started none of it."""

import json
import os

from interlock import Client, Decision

approved = 0
with Client(os.environ.get("INTERLOCK_TARGET", "localhost:50051")) as client:
    waiting = client.list_requirements(workflow_id="WeatherWorkflow", kinds=["CONFIRMATION"])
    for requirement in waiting:
        call = requirement.tool_execution
        args = json.dumps(call.tool_args, separators=(",", ":"))
        print(f"Approving: {call.tool_name} {args}")
        client.resolve(requirement, Decision.confirm("approved from the inbox"))
        approved += 1

print(f"Approved: {approved}")

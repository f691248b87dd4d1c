"""Events: follows a run while it happens, up to its pause and then to its end."""

import os

from interlock import Client, RunContentEvent, RunStream, WorkflowCompletedEvent


def show(events: RunStream) -> None:
    for event in events:
        if not isinstance(event, RunContentEvent):
            print(event.case)
        if isinstance(event, WorkflowCompletedEvent):
            print(f"Done: {event.output}")


with Client(os.environ.get("INTERLOCK_TARGET", "localhost:50051")) as client:
    workflow = client.workflow("WeatherWorkflow")
    show(workflow.run("What is the weather in Tokyo?", stream=True))

    run = workflow.get_session().runs[-1]
    for requirement in run.active_requirements:
        requirement.confirm()
    show(workflow.continue_run(run, stream=True))

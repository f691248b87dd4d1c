"""An agent asks the user: structured questions with `ask_user`, values with `get_user_input`.

python examples/agent_asks_user.py [--model MODEL] [--target HOST:PORT]
"""

from __future__ import annotations

from _common import ask, model, outcome, service
from interlock import Client
from interlock_server import (
    Agent,
    Interlock,
    Step,
    Workflow,
    ask_user,
    call,
    get_user_input,
)

QUESTION = {
    "question": "Which way do you travel?",
    "options": [{"label": "Train", "description": "Slow and calm"}, {"label": "Plane"}],
}
planner = Agent(
    name="Planner",
    model=model(
        [
            call("ask_user", questions=[QUESTION]),
            call("get_user_input", user_input_fields=[{"field_name": "city"}]),
        ],
        outcome,
    ),
    tools=[ask_user, get_user_input],
    instructions="Ask how the user travels, and to which city, both at once. Then repeat it.",
)
workflow = Workflow(name="Trip", steps=[Step(name="plan", agent=planner)])
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Trip")
        run = workflow.run("Plan my trip.")
        while run.is_paused:
            for asked in run.active_requirements:
                answers = {}
                for question in asked.feedback_questions:
                    labels = "/".join(one.label for one in question.options)
                    answers[question.id] = ask(f"{question.question} [{labels}]", "Train")
                if answers:
                    asked.provide_user_feedback(answers)
                else:
                    fields = asked.user_input_schema
                    values = {one.name: ask(f"{one.name}?", "Rome") for one in fields}
                    asked.provide_user_input(values)
            run = workflow.continue_run(run)
        print(run.content)


if __name__ == "__main__":
    main()

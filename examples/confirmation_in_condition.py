"""A confirmation inside a `Condition`: the pause is in the branch that was chosen.

    python examples/confirmation_in_condition.py [--model MODEL] [--target HOST:PORT]

The evaluator is asked once and its answer is recorded, so the branch is the same after the
pause. The other branch leaves no trace, and the step after the condition runs as always.
"""

from __future__ import annotations

from _common import approves, model, outcome, service
from interlock import Client
from interlock_server import Agent, Condition, Interlock, Step, StepInput, Workflow, call, tool


@tool(requires_confirmation=True)
def scan_full_history(customer: str) -> str:
    """Reads all orders that a customer ever made. Slow, and a matter of privacy."""
    return f"{customer} made 412 orders, 9 of them this week: seven times the usual rate."


def gather_data(step_input: StepInput) -> str:
    return f"Customer acme: 9 orders this week. Asked for: {step_input.input}"


def quick_summary(step_input: StepInput) -> str:
    return "Nothing stands out."


def generate_report(step_input: StepInput) -> str:
    return f"REPORT\n{step_input.previous_step_content}"


analysis_agent = Agent(
    name="AnalysisAgent",
    model=model(call("scan_full_history", customer="acme"), outcome),
    tools=[scan_full_history],
    instructions="Scan the full history of the customer you are told of, and sum it up.",
)
workflow = Workflow(
    name="ConditionExecutorHITL",
    steps=[
        Step(name="gather_data", executor=gather_data),
        Condition(
            name="analysis_decision",
            evaluator=lambda step_input: "detail" in step_input.input,
            steps=[Step(name="detailed_analysis", agent=analysis_agent)],
            else_steps=[Step(name="quick_summary", executor=quick_summary)],
        ),
        Step(name="report", executor=generate_report),
    ],
)
app = Interlock([workflow])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("ConditionExecutorHITL")
        response = workflow.run("Look at acme in detail.")
        while response.is_paused:
            for step_req in response.step_requirements:
                print(f"Paused at {' > '.join(step_req.step_path)}")
                for executor_req in step_req.executor_requirements:
                    if approves(executor_req):
                        executor_req.confirm()
                    else:
                        executor_req.reject(note="Not without the customer's consent.")
            response = workflow.continue_run(response)
        print(response.content or response.error)


if __name__ == "__main__":
    main()

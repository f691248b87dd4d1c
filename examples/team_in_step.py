"""A team in a step: a member's tool waits for a yes, and the whole team waits with it.

    python examples/team_in_step.py [--model MODEL] [--target HOST:PORT]

The step's executor is the team; `member_agent_name` says which member made the call.
"""

from __future__ import annotations

from _common import approves, model, outcome, service
from interlock import Client
from interlock_server import Agent, Interlock, Step, Team, Workflow, call, tool


@tool(requires_confirmation=True)
def delete_user(user_id: str) -> str:
    """Deletes a user's account with everything in it. There is no way back."""
    return f"The account of {user_id} is deleted."


account_agent = Agent(
    name="AccountAgent",
    description="Looks after the accounts of users.",
    model=model(call("delete_user", user_id="ada"), outcome),
    tools=[delete_user],
    instructions="Do what you are asked with your tools. If you may not, say why.",
)
task = "Delete the account of the user ada."
support_team = Team(
    name="SupportTeam",
    model=model(call("delegate_task_to_member", member_name="AccountAgent", task=task), outcome),
    members=[account_agent],
    instructions="Hand requests about accounts to AccountAgent, and report what became of them.",
)
app = Interlock([Workflow(name="Support", steps=[Step(name="support", team=support_team)])])


def main() -> None:
    with service(app) as target, Client(target) as client:
        workflow = client.workflow("Support")
        response = workflow.run("Please delete my account. My user id is ada.")
        while response.is_paused:
            for step_req in response.step_requirements:
                print(f"The {step_req.executor_type} {step_req.executor_name} waits.")
                for executor_req in step_req.executor_requirements:
                    if approves(executor_req):
                        executor_req.confirm()
                    else:
                        executor_req.reject(note="Accounts with unpaid bills stay.")
            response = workflow.continue_run(response)
        print(response.content or response.error)


if __name__ == "__main__":
    main()

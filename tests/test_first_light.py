"""The shortest way through everything: a gated tool, over gRPC, on a real database."""

from __future__ import annotations

from interlock import v1
from interlock_server import Agent, Interlock, ScriptedModel, Step, Workflow, call, tool
from tests.support.service import confirm, open_requirements, served


async def test_a_gated_tool_runs_once_and_only_after_its_yes(database_url: str) -> None:
    cities: list[str] = []

    @tool(requires_confirmation=True)
    def get_the_weather(city: str) -> str:
        cities.append(city)
        return f"70 degrees in {city}"

    agent = Agent(
        name="WeatherAgent",
        model=ScriptedModel([call("get_the_weather", city="Tokyo"), "It is 70 degrees."]),
        tools=[get_the_weather],
    )
    app = Interlock([Workflow(name="Weather", steps=[Step(name="weather", agent=agent)])])
    async with served(app, database_url) as service:
        paused = await service.run("Weather", input_json='"What is the weather in Tokyo?"')
        assert paused.state == v1.RUN_STATE_PAUSED
        assert cities == []
        [requirement] = open_requirements(paused)
        ended = await service.resolve(paused, confirm(requirement))
    assert ended.state == v1.RUN_STATE_COMPLETED
    assert ended.output_json == '"It is 70 degrees."'
    assert cities == ["Tokyo"]

"""The hands: functions, tools, agents and teams, run through the engine's context."""

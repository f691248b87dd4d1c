"""The memory: one PostgreSQL, and the only SQL of the project, a function for each statement."""

"""The mind: a pure interpreter of workflows. It touches nothing but the `Context` it is handed."""

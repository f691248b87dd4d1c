"""The Interlock client."""

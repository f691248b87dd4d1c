"""The Interlock server."""

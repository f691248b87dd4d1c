"""Those who are measured: Interlock, the floor, and the peers, each in its own way."""

"""What an author writes: agents, teams, tools and trees of steps. Data, and nothing runs here."""

"""Tasks that measure agents with and without the skill."""

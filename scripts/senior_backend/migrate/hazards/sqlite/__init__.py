"""Rules for SQLite; the numbers in `catalogue` are those of the hazard catalogue, part B3."""

"""Rules for PostgreSQL; the numbers in `catalogue` are those of the hazard catalogue, part B1."""

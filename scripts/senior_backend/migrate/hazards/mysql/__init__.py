"""Rules for MySQL and MariaDB; the numbers in `catalogue` are those of the hazard catalogue, part B2."""

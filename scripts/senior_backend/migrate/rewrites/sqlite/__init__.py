"""Transformations for SQLite: what ALTER TABLE refuses becomes a rebuild that keeps all that hangs on the table."""

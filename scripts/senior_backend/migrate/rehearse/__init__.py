"""Rehearsal: apply migrations to a scratch database full of invented rows while readers and writers work on it."""

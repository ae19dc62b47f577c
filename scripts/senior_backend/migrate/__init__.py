"""Migrations: files -> statements -> catalog -> hazards -> rewrites -> plan -> runner -> report."""

"""Tests of the FastAPI stack."""

"""Hazard rules, one module each, in a folder for each engine; `registry.py` finds them."""

"""Modules that are not about this service: each states its guarantees, and `tests/patterns` proves what can be here.

They are used as they are. What speaks to a database, and how, is for this service to say: see the classes called
`_Store` beside their use.
"""

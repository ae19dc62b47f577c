"""What every tool shares: exit codes, errors, the report envelope, output, progress, environment.

Modules are imported one by one, never re-exported here, so that `--help` loads only what it needs.
"""

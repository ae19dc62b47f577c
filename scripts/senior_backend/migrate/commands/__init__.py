"""The sub-commands, one module each: `NAME`, `SUMMARY`, `configure(parser)` and `handle(options)`.

A module imports nothing heavier than argparse at its top: all of them are imported for `--help`.
"""

#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["jinja2==3.1.6", "pyyaml==6.0.4"]
# ///
"""Generate a running CRUD service from a resource, prove it, and keep it up to date; see --help."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - older Pythons must be told, not crash
    sys.stderr.write("api_scaffold.py needs Python 3.11 or newer; this is %d.%d\n" % sys.version_info[:2])  # noqa: UP031
    sys.exit(4)

from senior_backend.scaffold.cli import main

if __name__ == "__main__":
    sys.exit(main())

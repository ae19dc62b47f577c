#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["jinja2==3.1.6", "markupsafe==3.0.4", "pyyaml==6.0.4"]
# ///
"""Load-tests an HTTP service: what its users would feel, whether that can be trusted, and a verdict."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - old interpreters must get as far as this line
    sys.stderr.write("load_test.py needs Python 3.11 or newer, and this is " + sys.version.split()[0] + "\n")
    sys.exit(4)

from senior_backend.load.cli import main

if __name__ == "__main__":
    sys.exit(main())

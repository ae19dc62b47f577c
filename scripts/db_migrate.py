#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "jinja2==3.1.6",
#   "postgast==0.2.0",
#   "psycopg[binary]==3.3.9",
#   "pymysql==1.2.4",
#   "pyyaml==6.0.4",
# ]
# ///
"""Write, check, rehearse and apply SQL migrations; `--help` lists the commands."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - older Pythons shall say what is wrong
    sys.stderr.write("db_migrate.py needs Python 3.11 or newer, and this is " + sys.version.split()[0] + "\n")
    sys.exit(4)

from senior_backend.migrate.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""Transformations for MySQL and MariaDB: every change says how it may be done, so that the server refuses to copy."""

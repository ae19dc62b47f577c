"""Thin seams over the drivers: sqlite3, psycopg and PyMySQL, each imported only when its database is used."""

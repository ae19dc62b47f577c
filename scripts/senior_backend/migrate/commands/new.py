"""`new`: write the migration that a name asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import options as shared

if TYPE_CHECKING:
    import argparse

    from senior_backend.console.report import Report

NAME = "new"
SUMMARY = "Write the migration that a name and its fields ask for, safe for its engine and with its way back"
EPILOG = """\
names:
  create_X, drop_X                      a table
  add_A_and_B_to_X, remove_A_from_X     columns
  add_index_on_X_A, remove_index_on_X_A an index; also add_unique_index_on_X_A
  rename_A_to_B_in_X, rename_X_to_Y     a column, a table
  create_join_table_X_Y                 a join table
  add_X_Y                               what the tables that exist make of it; --choose where they leave a choice
fields:
  name[:type[{size}]][!][=default][:index|:unique]
  role:string{30}!=member:index   price:decimal{10,2}   user:references   author:references{users}
  types: string text integer bigint smallint float decimal boolean date time datetime uuid json binary references
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.epilog = EPILOG
    parser.add_argument("name", help="what the migration does, such as add_role_to_users")
    parser.add_argument("fields", nargs="*", metavar="FIELD", help="columns, such as role:string{30}!=member:index")
    shared.add_folder_option(parser)
    shared.add_url_option(parser)
    shared.add_engine_option(parser)
    parser.add_argument("--choose", metavar="CHOICE", help="which reading of an ambiguous name to write")
    parser.add_argument("--no-timestamps", action="store_true", help="no created_at and updated_at in new tables")
    parser.add_argument("--dry-run", action="store_true", help="show the files, write nothing")


def handle(options: argparse.Namespace) -> tuple[Report, str]:
    """Write the files and return where they are."""
    from senior_backend.migrate import creation

    return creation.new(options)

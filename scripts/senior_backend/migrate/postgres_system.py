"""Which tables are PostgreSQL's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Name

_NAMES = """
    aggregate am amop amproc attrdef attribute auth_members authid cast class collation constraint conversion database
    db_role_setting default_acl depend description enum event_trigger extension foreign_data_wrapper foreign_server
    foreign_table index inherits init_privs language largeobject largeobject_metadata namespace opclass operator
    opfamily parameter_acl partitioned_table policy proc publication publication_namespace publication_rel range
    replication_origin rewrite seclabel sequence shdepend shdescription shseclabel statistic statistic_ext
    statistic_ext_data subscription subscription_rel tablespace transform trigger ts_config ts_config_map ts_dict
    ts_parser ts_template type user_mapping
"""
"""The ordinary tables of pg_catalog in PostgreSQL 15, without `pg_`."""
_CATALOGUES = frozenset(f"pg_{name}" for name in _NAMES.split())


def is_catalogue(table: Name) -> bool:
    """Whether it is a system catalogue; pg_settings is none, for it sets what SET sets."""
    return table.schema in (None, "pg_catalog") and table.name in _CATALOGUES

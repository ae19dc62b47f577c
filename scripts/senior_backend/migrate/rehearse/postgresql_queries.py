"""Questions to the catalogue of PostgreSQL; one text for each, constants only."""

from __future__ import annotations

USER_SCHEMA = "nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND nspname !~ '^pg_(temp|toast_temp)'"

TABLES = f"""
SELECT c.oid, format('%I.%I', n.nspname, c.relname),
       CASE WHEN n.nspname = 'public' THEN c.relname::text ELSE n.nspname || '.' || c.relname END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {USER_SCHEMA}
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname"""  # noqa: S608 - constants only

# A domain is described by its base type; its own checks join those of the table.
COLUMNS = """
WITH RECURSIVE bases AS (
  SELECT oid AS type, oid AS base, typbasetype AS next, -1 AS modifier FROM pg_type
  UNION ALL
  SELECT bases.type, t.oid, t.typbasetype, d.typtypmod
  FROM bases JOIN pg_type d ON d.oid = bases.base JOIN pg_type t ON t.oid = bases.next WHERE bases.next <> 0
)
SELECT a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod), b.typname, b.typtype,
       CASE WHEN a.atttypmod > 0 THEN a.atttypmod ELSE bases.modifier END,
       a.attnotnull OR t.typnotnull, a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
       a.attgenerated <> '' OR a.attidentity = 'a',
       (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = b.oid)::text[],
       el.typname, CASE WHEN b.typcategory = 'A' THEN 'a' END, st.typname
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
JOIN bases ON bases.type = a.atttypid AND bases.next = 0
JOIN pg_type b ON b.oid = bases.base
LEFT JOIN pg_type el ON el.oid = b.typelem AND b.typcategory = 'A'
LEFT JOIN pg_range r ON r.rngtypid = b.oid
LEFT JOIN pg_type st ON st.oid = r.rngsubtype
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
WHERE a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum"""

KEYS = """
SELECT i.indrelid::bigint, CASE WHEN i.indisprimary THEN 'p' ELSE 'u' END, array_agg(a.attname ORDER BY k.n)::text[]
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int[]) WITH ORDINALITY AS k(attribute, n)
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attribute AND k.attribute > 0
WHERE i.indisunique AND k.n <= i.indnkeyatts
GROUP BY i.indexrelid, i.indrelid, i.indisprimary
HAVING bool_and(a.attname IS NOT NULL)
UNION ALL
SELECT c.conrelid::bigint, 'u', array_agg(a.attname ORDER BY k.n)::text[]
FROM pg_constraint c
CROSS JOIN LATERAL unnest(c.conkey::int[], c.conexclop::oid[]) WITH ORDINALITY AS k(attribute, operator, n)
JOIN pg_operator o ON o.oid = k.operator AND o.oprname IN ('=', '&&')
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attribute
WHERE c.contype = 'x'
GROUP BY c.oid, c.conrelid"""
"""Columns that tell rows apart. Of an exclusion those that do so alone: it refuses equal or overlapping values, and
ranges are invented disjoint."""

CHECKS = """
SELECT c.conrelid::bigint, pg_get_expr(c.conbin, c.conrelid)
FROM pg_constraint c WHERE c.contype = 'c' AND c.conrelid <> 0
UNION ALL
SELECT a.attrelid::bigint, regexp_replace(pg_get_expr(c.conbin, 0), '\\mVALUE\\M', quote_ident(a.attname), 'g')
FROM pg_constraint c JOIN pg_attribute a ON a.atttypid = c.contypid
JOIN pg_class r ON r.oid = a.attrelid AND r.relkind IN ('r', 'p')
WHERE c.contype = 'c' AND c.contypid <> 0 AND NOT a.attisdropped"""

FOREIGN_KEYS = """
SELECT c.conrelid::bigint,
       (SELECT array_agg(a.attname ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY AS k(attribute, n)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attribute)::text[],
       format('%I.%I', n.nspname, p.relname),
       (SELECT array_agg(a.attname ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY AS k(attribute, n)
        JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attribute)::text[]
FROM pg_constraint c JOIN pg_class p ON p.oid = c.confrelid JOIN pg_namespace n ON n.oid = p.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0"""

SEQUENCES = """
SELECT a.attname, format('%%I.%%I', n.nspname, s.relname)
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.refobjid = %s::regclass AND d.deptype IN ('a', 'i')"""

STORAGE = f"""
SELECT CASE WHEN nspname = 'public' THEN relname::text ELSE nspname || '.' || relname END, pg_relation_filenode(c.oid)::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE relkind IN ('r', 'i', 'm') AND {USER_SCHEMA}"""  # noqa: S608, E501 - constants only

ROWS = """
SELECT COALESCE(sum(seq_tup_read), 0)::bigint, COALESCE(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
FROM pg_stat_xact_user_tables"""

INDEXES = f"""
SELECT CASE WHEN nspname = 'public' THEN relname::text ELSE nspname || '.' || relname END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind = 'i' AND {USER_SCHEMA}"""  # noqa: S608

LOCKS = f"""
SELECT CASE WHEN nspname = 'public' THEN relname::text ELSE nspname || '.' || relname END, mode
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = %s AND l.granted AND l.locktype = 'relation' AND relkind IN ('r', 'p', 'm')
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND {USER_SCHEMA}"""  # noqa: S608

WAITERS = """
SELECT a.pid, pg_blocking_pids(a.pid), l.relation::regclass::text, l.mode
FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted
WHERE a.datname = current_database() AND a.wait_event_type = 'Lock' AND a.pid <> pg_backend_pid()"""

# One row for each object; the text holds all that a client can notice, and no object identifiers.
FINGERPRINT = f"""
WITH spaces AS (SELECT oid, nspname FROM pg_namespace WHERE {USER_SCHEMA}),
relations AS (SELECT c.*, s.nspname, format('%I.%I', s.nspname, c.relname) AS label
              FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace)
SELECT CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'table ' END || label,
       CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid)
            ELSE concat_ws(' ', CASE relpersistence WHEN 'u' THEN 'unlogged' END, 'owner ' || pg_get_userbyid(relowner),
                 CASE WHEN relrowsecurity THEN 'row security' END, array_to_string(reloptions, ','),
                 pg_get_expr(relpartbound, oid), relacl::text) END
FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL
SELECT 'column ' || r.label || '.' || a.attname,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
         CASE WHEN a.attgenerated <> '' THEN 'generated ' WHEN d.adbin IS NOT NULL THEN 'default ' END
           || pg_get_expr(d.adbin, d.adrelid),
         nullif('identity ' || a.attidentity::text, 'identity '),
         'collate ' || nullif(co.collname, 'default'), 'comment ' || col_description(r.oid, a.attnum))
FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
LEFT JOIN pg_collation co ON co.oid = a.attcollation
WHERE r.relkind IN ('r', 'p', 'f', 'c')
UNION ALL
SELECT 'constraint ' || r.label || '.' || c.conname, pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN relations r ON r.oid = c.conrelid WHERE c.contype <> 'n' AND c.contype <> 't'
UNION ALL
SELECT 'index ' || r.label, pg_get_indexdef(r.oid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
FROM relations r JOIN pg_index i ON i.indexrelid = r.oid
UNION ALL
SELECT 'trigger ' || r.label || '.' || t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'sequence ' || label, concat_ws(' ', format_type(q.seqtypid, NULL), q.seqincrement, q.seqmin, q.seqmax, q.seqcycle)
FROM relations JOIN pg_sequence q ON q.seqrelid = relations.oid
UNION ALL
SELECT 'function ' || format('%I.%I', s.nspname, p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
       CASE WHEN p.prokind IN ('a') THEN 'aggregate' ELSE pg_get_functiondef(p.oid) END
FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
UNION ALL
SELECT 'type ' || format('%I.%I', s.nspname, t.typname),
       concat_ws(' ', t.typtype, format_type(nullif(t.typbasetype, 0), t.typtypmod), CASE WHEN t.typnotnull THEN 'not null' END,
         t.typdefault, (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
         (SELECT string_agg(pg_get_constraintdef(c.oid), ',' ORDER BY c.conname) FROM pg_constraint c WHERE c.contypid = t.oid))
FROM pg_type t JOIN spaces s ON s.oid = t.typnamespace
WHERE t.typtype IN ('e', 'd', 'r')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
UNION ALL
SELECT 'policy ' || r.label || '.' || p.polname,
       concat_ws(' ', p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN relations r ON r.oid = p.polrelid
UNION ALL
SELECT 'schema ' || nspname, '' FROM spaces
UNION ALL
SELECT 'extension ' || extname, extversion FROM pg_extension"""  # noqa: S608, E501 - constants only

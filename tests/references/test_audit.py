"""The audit of public backend skills, line by line: where the right rule stands, or why it is left out.

Each line of the audit names a mistake that a public skill teaches. It is answered by words that a reference must
contain, by a pattern of `test_traps` that keeps the mistake out of what we ship, or by the reason to leave it out.
"""

# ruff: noqa: E501 - one audited mistake a line reads as a table
from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.documents import ROOT
from tests.references.test_traps import TRAPS


@dataclass(frozen=True)
class Audited:
    """A mistake of the audit: `says` is (reference, words in it), `traps` names patterns, `left_out` gives a reason."""

    number: int
    mistake: str
    says: tuple[str, str] | None = None
    traps: tuple[str, ...] = ()
    left_out: str = ""


AUDIT = (
    Audited(1, "keyset without tie-breaker", ("api_design", "Keyset needs a tie-breaker"), ("keyset-without-tie-breaker",)),
    Audited(2, "LIMIT $limit + 1 called an error", ("api_design", "limit + 1 rows"), ("named-placeholder",)),
    Audited(3, "a total in each page", ("api_design", "No `total` unless asked"), ("total-in-every-page",)),
    Audited(4, "offsets as GraphQL cursors", ("graphql_grpc", "repeats the last row"), ("offset-as-cursor",)),
    Audited(5, "loader that ignores first", ("graphql_grpc", "Push `first` into the batch")),
    Audited(6, "mass assignment of roles", ("api_design", "Reject unknown request fields"), ("role-in-public-input",)),
    Audited(7, "GraphQL without limits", ("graphql_grpc", "Limits before launch"), ("unbounded-first",)),
    Audited(8, "totalCount that is always computed", ("graphql_grpc", "`totalCount` is"), ("total-count-non-null",)),
    Audited(9, "untyped GraphQL errors", ("graphql_grpc", "Errors that clients handle are data")),
    Audited(10, "home-made errors that echo values", ("api_design", "Never echo a rejected value")),
    Audited(11, "400 and 422 mixed", ("api_design", "never mix them in one API")),
    Audited(12, "201 without Location", ("api_design", "carries a relative `Location`")),
    Audited(13, "401 without WWW-Authenticate, scheme-less tokens", ("api_design", "must carry `WWW-Authenticate`"), ("bearer-replace",)),
    Audited(14, "403 that reveals existence", ("api_design", "403 only where its existence is public")),
    Audited(15, "PATCH without a media type and a version", ("api_design", "merge semantics (RFC 7396)")),
    Audited(16, "response enums that grow", ("api_design", "Response enums are open")),
    Audited(17, "Deprecation: true", ("api_design", "a structured date, not `true`"), ("deprecation-true",)),
    Audited(18, "rate headers", ("api_design", "carry `Retry-After`"), ("ratelimit-reset-epoch",)),
    Audited(19, "idempotency middleware", ("api_design", "Key row and effect commit in one transaction")),
    Audited(20, "limiter in one process", ("caching", "One script, server time")),
    Audited(21, "trust proxy", ("api_design", "as many proxy hops as you have"), ("trust-every-proxy",)),
    Audited(22, "handlers that miss the framework's errors", ("api_design", "One error shape")),
    Audited(23, "Pydantic field _links", traps=("private-links-field",)),
    Audited(24, "CORS * with credentials", ("security", "reflect **any** origin"), ("cors-star-credentials",)),
    Audited(25, "versioning as dogma", ("api_design", "`/v2` when a contract really must break")),
    Audited(26, "GET bodies, QUERY", left_out="strong models know it, and no decision hangs on it"),
    Audited(27, "money as float", ("microservices", "`99.99` as a float is not"), ("float-money", "float-in-event")),
    Audited(28, "undeclared scalars", ("graphql_grpc", "Declare the scalars you use")),
    Audited(29, "gRPC missing", ("graphql_grpc", "Always a deadline")),
    Audited(30, "index beside a UNIQUE constraint", ("database_patterns", "constraint **is** an index")),
    Audited(31, "reflex indexes", ("database_patterns", "Index for a query you have measured"), ("metadata-gin",)),
    Audited(32, "varchar(255)", ("database_patterns", "`varchar(255)` saves nothing"), ("varchar-255",)),
    Audited(33, "UUIDv4 keys", ("database_patterns", "v4 scatters inserts"), ("uuid-v4-key", "serial-key")),
    Audited(34, "now() rewrites the table", ("migrations", "nullable or with a constant or `now()`")),
    Audited(35, "one huge UPDATE as the safe form", ("migrations", "Backfill in batches")),
    Audited(36, "locks of NOT VALID", ("migrations", "SHARE ROW EXCLUSIVE on **both** tables")),
    Audited(37, "lock of DROP TRIGGER", ("migrations", "`DROP TRIGGER`")),
    Audited(38, "SET NOT NULL NOT VALID", ("migrations", "ADD CONSTRAINT nn NOT NULL c NOT VALID"), ("set-not-null-not-valid",)),
    Audited(39, "SET NOT NULL is free since 12", ("migrations", "then SET NOT NULL (reads nothing)")),
    Audited(40, "VACUUM gives a dropped column's space back", ("migrations", "gives no space back")),
    Audited(41, "type swap without trigger", ("migrations", "loses the writes of the window")),
    Audited(42, "casts that do not rewrite", ("migrations", "timestamp to timestamptz in UTC")),
    Audited(43, "index build in a DDL transaction", ("migrations", "One strong lock per transaction")),
    Audited(44, "CONCURRENTLY in a transaction", ("migrations", "Concurrent builds cannot share anything"), ("concurrently-in-transaction",)),
    Audited(45, "no lock_timeout", ("migrations", "queues every later SELECT")),
    Audited(46, "retry of DDL in a DO block", traps=("sleep-in-do-block",)),
    Audited(47, "foreign keys of partitioned tables", ("database_patterns", "foreign keys work from and to partitioned tables")),
    Audited(48, "ON CONFLICT and partial indexes", ("database_patterns", "`ON CONFLICT (email) WHERE deleted_at IS NULL`")),
    Audited(49, "jsonb @> ANY without a cast", traps=("jsonb-any-uncast",)),
    Audited(50, "most selective column first", ("database_patterns", "Selectivity among equalities does not matter")),
    Audited(51, "an index with a gap before the sort", ("database_patterns", "the plan sorts")),
    Audited(52, "now() in a partial index", ("database_patterns", "the predicate must be immutable"), ("volatile-partial-index",)),
    Audited(53, "pg_stat_user_indexes.tablename", traps=("stat-tablename",)),
    Audited(54, "REFRESH CONCURRENTLY without a unique index", ("database_patterns", "`REFRESH MATERIALIZED VIEW CONCURRENTLY` needs")),
    Audited(55, "JOIN with LIMIT", ("database_patterns", "limits joined rows, not parents")),
    Audited(56, "EXISTS is faster than IN", ("database_patterns", "`IN` and `EXISTS` plan alike"), ("not-in-subquery",)),
    Audited(57, "sequential scans are bad", ("database_patterns", "a sequential scan of most of a table is right")),
    Audited(58, "a global query counter", ("database_patterns", "a global counter proves nothing")),
    Audited(59, "a size query called bloat", left_out="operations of one product; pgstattuple's own documentation says it"),
    Audited(60, "idle in transaction unwatched", ("database_patterns", "an outage in waiting")),
    Audited(61, "work_mem per connection", ("database_patterns", "not per connection")),
    Audited(62, "PgBouncer and prepared statements", ("database_patterns", "work from 1.21")),
    Audited(63, "prepare: false of another driver", left_out="a driver's option; its types refuse the wrong one"),
    Audited(64, "idle_session_timeout behind a pooler", ("database_patterns", "`idle_session_timeout` and poolers do not mix")),
    Audited(65, "md5 in PgBouncer", traps=("pgbouncer-md5",)),
    Audited(66, "pool size of one server", ("database_patterns", "Sum over replicas x processes x pool size")),
    Audited(67, "tenant in a session SET", ("database_patterns", "leaks to the next user of the connection"), ("session-tenant", "setting-cast-of-empty")),
    Audited(68, "owners bypass row-level security", ("database_patterns", "neither owner, superuser nor BYPASSRLS")),
    Audited(69, "policies that call a function per row", ("database_patterns", "`team_id = ANY (ARRAY(SELECT my_team_ids()))`"), ("policy-calls-per-row",)),
    Audited(70, "hashtext and session locks", ("database_patterns", "`hashtext` is 32 bits"), ("hashtext", "blocking-advisory-lock")),
    Audited(71, "one UPDATE locks atomically", ("database_patterns", "measured, 6 of 6")),
    Audited(72, "charge outside, then UPDATE", ("database_patterns", "Write the intent, commit, act, record")),
    Audited(73, "SKIP LOCKED without leases", ("database_patterns", "it needs a lease, attempts and a dead state")),
    Audited(74, "VACUUM locks the table", left_out="no decision of a service hangs on it"),
    Audited(75, "partitions", ("database_patterns", "`DETACH PARTITION … CONCURRENTLY`")),
    Audited(76, "LIKE cannot use an index", ("database_patterns", "`pg_trgm` with GIN")),
    Audited(77, "to_tsquery on user text", ("database_patterns", "websearch_to_tsquery"), ("to-tsquery-on-input",)),
    Audited(78, "a foreign key second in an index", ("database_patterns", "**starts** with its columns"), ("fk-index-anywhere",)),
    Audited(79, "constraints added at once", ("migrations", "unique index CONCURRENTLY, then `USING INDEX`")),
    Audited(80, "grants once, for what exists", ("database_patterns", "`ALTER DEFAULT PRIVILEGES`")),
    Audited(81, "running totals", ("database_patterns", "the default frame adds ties together")),
    Audited(82, "SELECT * with password_hash", ("database_patterns", "Never `SELECT *` into an API"), ("select-star-users",)),
    Audited(83, "EXPLAIN ANALYZE executes", ("database_patterns", "**executes**")),
    Audited(84, "hash indexes", left_out="a b-tree is the default everywhere; nothing asks for the other"),
    Audited(85, "subscribers by position", ("microservices", "never polls by `id > last`"), ("outbox-by-id",)),
    Audited(86, "passwords hashed in SQL", traps=("password-in-sql", "uuid-ossp")),
    Audited(87, "enum value in its own transaction", ("migrations", "cannot be used in the transaction that adds it")),
    Audited(88, "down that drops", ("migrations", "Down is for expand steps")),
    Audited(89, "dual writes", ("microservices", "No dual writes"), ("publish-after-save",)),
    Audited(90, "handlers that are not idempotent", ("microservices", "Split side effects")),
    Audited(91, "home-made envelopes", ("microservices", "Envelope: CloudEvents 1.0")),
    Audited(92, "Kafka defaults", ("messaging", "auto-commit acknowledges before the work")),
    Audited(93, "check, then reserve", ("microservices", "Reserve atomically")),
    Audited(94, "sagas without guards", ("microservices", "Saga replies are guarded")),
    Audited(95, "saga metrics that never move", ("microservices", "Derive saga alarms from the table")),
    Audited(96, "sagas in memory", ("microservices", "a crash loses the compensations")),
    Audited(97, "circuit breakers", ("resilience_delivery", "Breakers count transport errors and 5xx, not 4xx")),
    Audited(98, "retries without jitter and budget", ("resilience_delivery", "**full jitter**"), ("retry-without-jitter",)),
    Audited(99, "POST repeated", ("resilience_delivery", "Only idempotent calls")),
    Audited(100, "retries that never happen", ("resilience_delivery", "Use `httpx.TransportError`"), ("retry-on-oserror-httpx",)),
    Audited(101, "a client per request", ("microservices", "a client per request exhausts ports"), ("client-per-request",)),
    Audited(102, "exceptions returned by gather", ("microservices", "checked, not returned")),
    Audited(103, "pub/sub as a bus", ("microservices", "it stores nothing"), ("pubsub-bus",)),
    Audited(104, "a service for each noun", ("microservices", "not for nouns")),
    Audited(105, "Celery on Redis", ("messaging", "`visibility_timeout` 1 h")),
    Audited(106, "INCR + EXPIRE", ("caching", "locked out for ever"), ("incr-expire",)),
    Audited(107, "lock value 1", ("caching", "`SET key 1 NX` is not a lock"), ("lock-value-1",)),
    Audited(108, "argument order of ioredis", traps=("ioredis-argument-order",)),
    Audited(109, "null cached by accident", ("caching", 'never as the string `"null"`'), ("null-as-text",)),
    Audited(110, "stampede", ("caching", "**Stampede:**")),
    Audited(111, "late set", ("caching", "**Stale set:**")),
    Audited(112, "DEL one by one, KEYS", ("caching", "`UNLINK` many keys at once"), ("sequential-del", "redis-keys")),
    Audited(113, "cached rows", ("caching", "Cache DTOs")),
    Audited(114, "jwt.verify without options", ("authentication", "without options pins nothing"), ("jwt-verify-unpinned",)),
    Audited(115, "RS256 with a secret", traps=("rs256-with-secret",)),
    Audited(116, "refresh without rotation", ("authentication", "**Refresh rotation**"), ("bcrypt-refresh",)),
    Audited(117, "roles in tokens", ("authentication", "Roles in a token stay true until it expires")),
    Audited(118, "only a role check", ("authentication", "Object level first")),
    Audited(119, "deny rules that allow", ("authentication", "A deny rule must win")),
    Audited(120, "password rules", ("authentication", "it ignores bytes after 72"), ("bcrypt-for-passwords",)),
    Audited(121, "session cookies", ("authentication", "`__Host-` prefix"), ("cookie-domain",)),
    Audited(122, "an undefined variable in a handler", left_out="a slip of one snippet; all of ours are compiled or run"),
    Audited(123, "forgotten password timing", ("authentication", "the mail is queued")),
    Audited(124, "rotation by trying secrets", ("authentication", "Keys rotate by overlap")),
    Audited(125, "API keys", ("authentication", "API key with prefix, scopes, expiry, stored hashed")),
    Audited(126, "OAuth without PKCE", ("authentication", "PKCE for **all** clients")),
    Audited(127, "python-jose, passlib, utcnow", traps=("passlib", "utcnow")),
    Audited(128, "OWASP numbering of 2021", ("security", "OWASP API Security Top 10 2023")),
    Audited(129, "SSRF", ("security", "DNS rebinding"), ("fetch-follow-0",)),
    Audited(130, "startsWith on paths", ("security", "`/srv/uploads-private` passes"), ("startswith-path",)),
    Audited(131, "JSON.stringify in a script", ("security", "does not escape it")),
    Audited(132, "strict-dynamic without nonce", traps=("strict-dynamic-without-nonce",)),
    Audited(133, "Content-Type for everything", ("security", "not to a global middleware")),
    Audited(134, "X-XSS-Protection, preload", ("security", "preload is hard to take back"), ("x-xss-protection", "hsts-preload")),
    Audited(135, "npm audit before installing", ("security", "`npm ci --ignore-scripts`"), ("preinstall-audit",)),
    Audited(136, "connect-redis import", traps=("connect-redis-default",)),
    Audited(137, "webhooks worked on inline", ("security", "verify the raw body"), ("verify-parsed-webhook",)),
    Audited(138, "secrets in the environment", ("security", "file or workload identity")),
    Audited(139, "sanitizing for storage", ("security", "encode on output")),
    Audited(140, "a corrupted snippet", left_out="all snippets are parsed by the tests"),
    Audited(141, "labels before routing", ("observability", "Route template, not path"), ("raw-path-label", "path-label-before-routing")),
    Audited(142, "buckets without the objective", ("observability", "plus your SLO's threshold")),
    Audited(143, "logger.error({ error })", ("observability", "`{ error }` logs `{}`"), ("logger-error-key",)),
    Audited(144, "logs without trace ids, with queries", ("observability", "**Redact**")),
    Audited(145, "alerts on series that nobody records", ("observability", "Record every window that an alert names")),
    Audited(146, "alerts on counts and percentiles", ("observability", "SLI = good / valid")),
    Audited(147, "a static health endpoint", ("observability", "`/livez` checks nothing outside"), ("readiness-static",)),
)  # fmt: skip


def test_each_line_of_the_audit_is_answered_once() -> None:
    assert [line.number for line in AUDIT] == list(range(1, 148))
    unanswered = [line.number for line in AUDIT if not (line.says or line.traps or line.left_out)]
    assert unanswered == []
    both = [line.number for line in AUDIT if line.left_out and (line.says or line.traps)]
    assert both == []


@pytest.mark.parametrize(
    "line", [line for line in AUDIT if line.says], ids=lambda line: f"{line.number}-{line.mistake}"
)
def test_the_right_rule_stands_in_its_reference(line: Audited) -> None:
    assert line.says is not None
    reference, words = line.says
    text = " ".join((ROOT / "references" / f"{reference}.md").read_text(encoding="utf-8").split())
    assert words in text, f"references/{reference}.md no longer says {words!r}"


def test_the_audit_names_only_patterns_there_are() -> None:
    known = {trap.name for trap in TRAPS}
    named = {name for line in AUDIT for name in line.traps}
    assert named - known == set()

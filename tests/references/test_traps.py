"""Mistakes that public backend skills teach: none may come back into our documents, templates or patterns.

Each trap has an example that its pattern must catch, so that no pattern can rot into matching nothing.
"""

# ruff: noqa: E501 - one trap a line reads as a table
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Trap:
    """A wrong piece of code: `pattern` finds it, `example` is one, `right` says what to write."""

    name: str
    pattern: str
    example: str
    right: str


TRAPS = (
    Trap("keyset-without-tie-breaker", r"WHERE created_at [<>] [$:%?]\S*\s+ORDER BY created_at (?:DESC|ASC)?\s*LIMIT",
         "WHERE created_at < $1 ORDER BY created_at DESC LIMIT 20", "compare and order by (created_at, id)"),
    Trap("hashtext", r"\bhashtext\(", "pg_advisory_lock(hashtext('x'))", "hashtextextended(x, 0)"),
    Trap("blocking-advisory-lock", r"\bpg_advisory_lock\(", "SELECT pg_advisory_lock(1)", "poll pg_try_advisory_lock"),
    Trap("session-tenant", r"(?i)\bSET (?:SESSION )?app\.\w+ *(?:=|TO)", "SET app.current_user_id = '7'",
         "set_config(key, value, true) in the transaction"),
    Trap("set-not-null-not-valid", r"SET NOT NULL NOT VALID\b(?!`\s+is no)",
         "ALTER TABLE t ALTER COLUMN c SET NOT NULL NOT VALID;", "ADD CONSTRAINT nn NOT NULL c NOT VALID (18)"),
    Trap("concurrently-in-transaction", r"BEGIN;(?:(?!COMMIT)[\s\S])*?INDEX CONCURRENTLY",
         "BEGIN;\nCREATE INDEX CONCURRENTLY i ON t (a);\nCOMMIT;", "a file of its own without transaction"),
    Trap("varchar-255", r"(?i)\bvarchar\(255\)(?!` saves)", "email VARCHAR(255)", "text + CHECK, or a length with a reason"),
    Trap("to-tsquery-on-input", r"(?<!web)\bto_tsquery\([^)]*[$%:]", "to_tsquery($1)", "websearch_to_tsquery"),
    Trap("jsonb-any-uncast", r"jsonb? @> ANY\(ARRAY\[[^\]]*\]\)(?!::)", "data jsonb @> ANY(ARRAY['{}'])", "cast ::jsonb[]"),
    Trap("jwt-verify-unpinned", r"jwt\.verify\(\s*\w+\s*,\s*[\w.]+\s*\)(?!` without)", "jwt.verify(token, secret)",
         "pin algorithms, issuer and audience"),
    Trap("bearer-replace", r"replace\(['\"]Bearer ['\"]", "header.replace('Bearer ', '')", "parse the scheme"),
    Trap("lock-value-1", r"(?i)\bset\([^)]*['\"]1['\"],\s*['\"](?:NX|EX|PX)", "redis.set(key, '1', 'NX', 'EX', 30)",
         "an owner token, renewal and a fence"),
    Trap("incr-expire", r"(?i)\bincr\([^)]*\)[\s\S]{0,80}?\bexpire\(", "n = redis.incr(key)\nredis.expire(key, 60)",
         "one script; GCRA"),
    Trap("redis-keys", r"redis\.keys\(", "redis.keys('user:*')", "SCAN, or versioned keys"),
    Trap("math-random-token", r"(?:token|secret|id) = Math\.random", "const token = Math.random()", "randomBytes"),
    Trap("python-random-token", r"(?:token|secret|key) = random\.", "token = random.choice(x)", "secrets"),
    Trap("utcnow", r"\butcnow\(\)", "datetime.utcnow()", "datetime.now(UTC)"),
    Trap("passlib", r"\bfrom (?:passlib|jose)\b", "from passlib.context import CryptContext", "argon2-cffi, PyJWT"),
    Trap("startswith-path", r"\.starts?[wW]ith\(\s*(?:base|root|upload)\w*\s*\)(?!`)", "path.startsWith(baseDir)",
         "resolve and compare by parts"),
    Trap("fetch-follow-0", r"fetch\([^)]*follow: 0(?!\}\)`)", "fetch(url, { timeout: 5000, follow: 0 })", "safe_fetch"),
    Trap("yaml-load", r"\byaml\.load\((?![^)]*Loader)(?!`)", "yaml.load(text)", "safe loader with limits"),
    Trap("pickle-input", r"\bpickle\.loads?\(", "pickle.loads(body)", "JSON"),
    Trap("shell-true", r"shell=True(?!`)", "subprocess.run(cmd, shell=True)", "an argument list"),
    Trap("tls-off", r"verify=False|rejectUnauthorized: false|ssl\.CERT_NONE", "requests.get(url, verify=False)", "verify"),
    Trap("cors-star-credentials", r"allow_origins=\[\"\*\"\][^)]*allow_credentials=True",
         'CORSMiddleware, allow_origins=["*"], allow_credentials=True)', "name the origins"),
    Trap("deprecation-true", r"Deprecation: true", "Deprecation: true", "Deprecation: @<seconds> (RFC 9745)"),
    Trap("x-xss-protection", r"X-XSS-Protection: 1", "X-XSS-Protection: 1; mode=block", "leave it out"),
    Trap("strict-dynamic-without-nonce", r"'strict-dynamic'(?![^\n]*nonce)", "script-src 'strict-dynamic'", "with a nonce"),
    Trap("logger-error-key", r"logger\.error\(\{ error \}", "logger.error({ error }, 'failed')", "{ err: error }"),
    Trap("raw-path-label", r"labels?\([^)]*\breq(?:uest)?\.(?:path|url)\b", "labels(req.path)", "the route template"),
    Trap("float-money", r"(?i)\b(?:price|amount|total)\w*\s+(?:float|real|double precision)\b", "total FLOAT", "minor units"),
    Trap("serial-key", r"(?i)\bid (?:big)?serial\b", "id SERIAL PRIMARY KEY", "GENERATED ALWAYS AS IDENTITY"),
    Trap("timestamp-without-zone", r"(?i)_at timestamp(?! with time zone)(?!tz)\b", "created_at TIMESTAMP NOT NULL", "timestamptz"),
    Trap("select-star-users", r"(?i)SELECT \* FROM users", "SELECT * FROM users", "name the columns"),
    Trap("bcrypt-refresh", r"bcrypt\.hash\(\s*(?:refresh|token)", "bcrypt.hash(refreshToken, 10)", "SHA-256 of random bits"),
    Trap("outbox-by-id", r"(?i)FROM (?:outbox|events) WHERE (?:id|position) > [$:%]", "FROM outbox WHERE id > $1",
         "rows are found by being there"),
    Trap("executescript", r"\.executescript\(", "connection.executescript(sql)", "it commits first"),
    Trap("client-per-request", r"Depends\(\w*(?:get_)?(?:http_)?client\w*\)", "client = Depends(get_client)", "one per process"),
    Trap("retry-on-oserror-httpx", r"\(ConnectionError, TimeoutError, OSError\)[\s\S]{0,80}httpx",
         "except (ConnectionError, TimeoutError, OSError): httpx", "httpx.TransportError"),
    Trap("named-placeholder", r"(?i)\b(?:LIMIT|OFFSET) \$[a-z_]", "SELECT id FROM t LIMIT $limit", "$1"),
    Trap("total-in-every-page", r"[\"']pagination[\"']: \{[^}]*[\"']total[\"']", '"pagination": {"limit": 20, "total": 99}', "no total unless asked"),
    Trap("offset-as-cursor", r"offset = decode\w*\(\w+\)(?!` repeats)", "offset = decode(after)", "a keyset cursor"),
    Trap("role-in-public-input", r"input Create\w+ \{[^}]*\brole\b", "input CreateUserInput { email: String! role: Role! }",
         "an admin input of its own"),
    Trap("unbounded-first", r"\bfirst: Int(?!!)", "orders(first: Int, after: String)", "required and at most 100"),
    Trap("total-count-non-null", r"\btotalCount: Int!", "totalCount: Int!", "nullable, computed when selected"),
    Trap("ratelimit-reset-epoch", r"X-RateLimit-Reset", "X-RateLimit-Reset: 1700000000", "Retry-After in seconds"),
    Trap("trust-every-proxy", r"trust proxy['\"], ?true", "app.set('trust proxy', true)", "the number of hops"),
    Trap("private-links-field", r"(?m)^\s+_links\s*:", "    _links: dict[str, str]", "an alias: an underscore hides it from Pydantic"),
    Trap("uuid-v4-key", r"(?i)\bid uuid [^\n]*DEFAULT (?:gen_random_uuid|uuid_generate_v4)\(\)[^\n]*PRIMARY KEY|\bid uuid PRIMARY KEY DEFAULT (?:gen_random_uuid|uuid_generate_v4)\(\)",
         "id uuid PRIMARY KEY DEFAULT gen_random_uuid()", "bigint identity or UUIDv7"),
    Trap("metadata-gin", r"(?i)USING gin ?\(metadata\)", "CREATE INDEX ON users USING GIN (metadata)", "an index for a measured query"),
    Trap("volatile-partial-index", r"(?i)CREATE (?:UNIQUE )?INDEX [^;`]*WHERE [^;`]*(?:now\(\)|current_date|current_timestamp)",
         "CREATE INDEX i ON t (a) WHERE created_at > now() - interval '7 days';", "a constant: the predicate must be immutable"),
    Trap("stat-tablename", r"(?i)SELECT [^;]*\btablename\b[^;]*FROM pg_stat_user_(?:indexes|tables)", "SELECT tablename FROM pg_stat_user_indexes", "relname"),
    Trap("not-in-subquery", r"(?i)\bNOT IN \(\s*SELECT\b", "WHERE id NOT IN (SELECT user_id FROM orders)", "NOT EXISTS"),
    Trap("sleep-in-do-block", r"(?i)\bDO \$\$(?:(?!\$\$;)[\s\S])*pg_sleep", "DO $$ BEGIN PERFORM pg_sleep(1); END $$;", "retry from the client"),
    Trap("pgbouncer-md5", r"auth_type *= *md5", "auth_type = md5", "scram-sha-256"),
    Trap("setting-cast-of-empty", r"(?<!NULLIF\()current_setting\('app\.\w+'[^)]*\)::", "current_setting('app.tenant_id', true)::bigint",
         "NULLIF(current_setting(...), '')"),
    Trap("policy-calls-per-row", r"(?i)using \(\(select is_\w+\(\w+\)\)\)", "using ((select is_team_member(team_id)))", "= ANY (ARRAY(SELECT ...))"),
    Trap("fk-index-anywhere", r"(?i)attnum = ANY ?\(\w*\.?indkey", "a.attnum = any(i.indkey)", "the leading columns, valid, not partial"),
    Trap("password-in-sql", r"(?i)\bcrypt\([^)]*gen_salt", "crypt('secret', gen_salt('bf'))", "hash in the service"),
    Trap("uuid-ossp", r"uuid-ossp", 'CREATE EXTENSION "uuid-ossp"', "gen_random_uuid() is in the core"),
    Trap("publish-after-save", r"(?:\.save\(|\.commit\(\))[^\n]*\n\s*(?:await )?\w*(?:bus|broker|producer|publisher)\w*\.(?:publish|send)\(",
         "await repo.save(order)\nawait event_bus.publish(event)", "an outbox"),
    Trap("float-in-event", r"[\"'](?:total|amount|price)[\"']: \d+\.\d", '"total": 99.99', "minor units and currency"),
    Trap("retry-without-jitter", r"wait_exponential\(", "wait=wait_exponential(min=2, max=10)", "full jitter, a budget, a deadline"),
    Trap("pubsub-bus", r"redis\.publish\(", "redis.publish('orders', event)", "a stream or a broker"),
    Trap("ioredis-argument-order", r"\.set\([^)]*['\"]NX['\"], *['\"](?:EX|PX)['\"]", "redis.set(k, token, 'NX', 'EX', 30)", "'PX', ms, 'NX'"),
    Trap("null-as-text", r"set(?:ex)?\([^)]*JSON\.stringify\(null\)", "redis.set(k, JSON.stringify(null))", "an explicit negative entry with a short life"),
    Trap("sequential-del", r"redis\.del\([^\n]*\n\s*(?:await )?redis\.del\(", "await redis.del(a);\nawait redis.del(b);", "one UNLINK"),
    Trap("rs256-with-secret", r"(?i)RS256[^\n]*(?:JWT_SECRET|secret\b)", "jwt.sign(claims, JWT_SECRET, { algorithm: 'RS256' }) // RS256 JWT_SECRET", "a private key"),
    Trap("bcrypt-for-passwords", r"bcrypt\.hash(?:pw)?\(\s*password", "bcrypt.hash(password, 12)", "Argon2id"),
    Trap("cookie-domain", r"(?i)cookie[^\n]*\bdomain: ", "cookie: { domain: '.example.com' }", "a __Host- cookie"),
    Trap("preinstall-audit", r"[\"']preinstall[\"']: [\"']npm audit", '"preinstall": "npm audit"', "npm ci --ignore-scripts, audit in CI"),
    Trap("connect-redis-default", r"import RedisStore from [\"']connect-redis", "import RedisStore from 'connect-redis'", "{ RedisStore }"),
    Trap("hsts-preload", r"(?i)Strict-Transport-Security[^\n]*; ?preload", "Strict-Transport-Security: max-age=1; preload", "no preload by default"),
    Trap("verify-parsed-webhook", r"createHmac\([^\n]*\.update\(JSON\.stringify\(", "createHmac('sha256', k).update(JSON.stringify(body))", "the raw bytes"),
    Trap("path-label-before-routing", r"startTimer\(\{[^}]*req\.route", "startTimer({ path: req.route?.path })", "when the response is finished"),
    Trap("readiness-static", r"[\"']/health[\"'][^\n]*\n[^\n]*[\"']healthy[\"']", "app.get('/health', (q, r) =>\n r.json({ status: 'healthy' }))",
         "/livez and /readyz"),
    Trap("request-url-location", r"Location[\"']\]? ?[=:] ?f?[\"'].*request\.url", 'headers["Location"] = f"{request.url}/1"',
         "a relative path"),
)  # fmt: skip
SEARCHED = ("references", "templates", "SKILL.md", "README.md")
SUFFIXES = {".md", ".py", ".ts", ".sql", ".jinja", ".yaml", ".yml", ".lua", ".toml", ""}


def searched_files() -> list[Path]:
    found: list[Path] = []
    for name in SEARCHED:
        path = ROOT / name
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        found += [
            file for file in files if file.is_file() and file.suffix in SUFFIXES and "node_modules" not in file.parts
        ]
    return found


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_each_pattern_catches_its_example(trap: Trap) -> None:
    assert re.search(trap.pattern, trap.example)


def test_no_trap_is_in_what_we_ship() -> None:
    texts = {file: file.read_text(encoding="utf-8") for file in searched_files() if "__pycache__" not in file.parts}
    found = [
        f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {trap.name}: {trap.right}"
        for trap in TRAPS
        for file, text in texts.items()
        for match in re.finditer(trap.pattern, text)
    ]
    assert found == []

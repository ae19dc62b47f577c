"""What `rewrite` writes gives up on locks by itself, whatever runs it, and builds no index twice."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.migrate.rewrite.harness import rewrite

if TYPE_CHECKING:
    from pathlib import Path

SETUP = """
CREATE TABLE accounts (id bigint PRIMARY KEY);
CREATE TABLE payments (id bigint PRIMARY KEY, account_id bigint, reference text);
"""
KEY = "ALTER TABLE payments ADD FOREIGN KEY (account_id) REFERENCES accounts (id);\n"


def written(folder: Path, change: str) -> list[str]:
    return [path.read_text() for path in sorted(rewrite(folder, SETUP, change).glob("*.sql"))]


def test_each_transaction_has_a_file_and_a_limit_where_it_locks(tmp_path: Path) -> None:
    texts = written(tmp_path, "ALTER TABLE payments ALTER COLUMN reference SET NOT NULL;")
    ups = [text.partition("-- migrate:down")[0] for text in texts]
    assert ["SET LOCAL lock_timeout = '2s';" in up for up in ups] == [True, False, True]
    assert ["NOT VALID;" in up for up in ups] == [True, False, False]
    assert ["VALIDATE CONSTRAINT" in up for up in ups] == [False, True, True]
    assert ups[2].index("VALIDATE CONSTRAINT") < ups[2].index("SET NOT NULL"), "undone and done again it reads nothing"


def test_strong_locks_in_a_transaction_are_waited_for_briefly(tmp_path: Path) -> None:
    first, *_ = written(tmp_path, "ALTER TABLE payments ALTER COLUMN id TYPE numeric;")
    assert first.index("SET LOCAL lock_timeout = '2s';") < first.index("ALTER TABLE")


def test_a_limit_of_the_user_stays_the_only_one(tmp_path: Path) -> None:
    texts = written(tmp_path, "SET lock_timeout = '400ms';\nALTER TABLE payments ADD COLUMN note text;\n" + KEY)
    (own,) = (text for text in texts if "ADD COLUMN note" in text)
    assert own.count("lock_timeout") == 1


def test_an_index_that_the_file_builds_later_is_not_built_for_the_key_as_well(tmp_path: Path) -> None:
    texts = written(tmp_path, KEY + "CREATE INDEX by_account ON payments (account_id, id);")
    assert "\n".join(texts).count("CREATE INDEX CONCURRENTLY") == 1


INDEX = "CREATE INDEX by_account ON payments (account_id, id);\n"
COLUMN = "ALTER TABLE payments ADD COLUMN paid date;\n"
PAYEE = "ALTER TABLE payments ADD COLUMN to_id bigint REFERENCES accounts (id);\n"


@pytest.mark.parametrize(
    ("change", "order"),
    [
        (KEY + INDEX, ("by_account ON", "NOT VALID", "VALIDATE")),
        (KEY.replace(";", " NOT VALID;") + INDEX, ("by_account ON", "NOT VALID")),
        (KEY + COLUMN + INDEX, ("by_account ON", "NOT VALID", "VALIDATE", "ADD COLUMN paid")),
        (KEY + COLUMN + INDEX.replace("id)", "paid)"), ("NOT VALID", "VALIDATE", "ADD COLUMN paid", "by_account ON")),
        (
            PAYEE + "-- by hand\nCREATE INDEX by_to ON payments (to_id);",
            ("ADD COLUMN to_id", "-- by hand", "by_to ON", "NOT VALID", "VALIDATE"),
        ),
    ],
)
def test_the_users_index_comes_before_the_key_that_it_serves(tmp_path: Path, change: str, order: tuple[str]) -> None:
    texts = written(tmp_path, change)
    ups = "\n".join(text.partition("-- migrate:down")[0] for text in texts)
    places = [ups.index(words) for words in order]
    assert places == sorted(places), ups
    assert ups.count("CREATE INDEX CONCURRENTLY") == 1


def test_a_key_without_an_index_gets_one(tmp_path: Path) -> None:
    texts = written(tmp_path, KEY + "CREATE INDEX by_reference ON payments (reference);")
    assert "\n".join(texts).count("CREATE INDEX CONCURRENTLY") == 2


@pytest.mark.service("postgresql")
@pytest.mark.slow
@pytest.mark.parametrize(("limit", "loser"), [("400ms", "migration"), ("2s", "application")])
def test_the_one_who_gives_way_is_the_migration(limit: str, loser: str, tmp_path: Path, postgresql_url: str) -> None:
    """A deadlock over two tables; with the longer limit, the server would end the application's transaction."""
    (text,) = (one for one in written(tmp_path, KEY) if "FOREIGN KEY" in one)
    assert text.count("SET LOCAL lock_timeout = '400ms';") == 2
    statements = text[text.index("SET LOCAL") : text.index("-- migrate:down")].replace("400ms", limit).split(";\n")[:-1]
    lost: list[str] = []
    with (
        psycopg.connect(postgresql_url, autocommit=True) as migration,
        psycopg.connect(postgresql_url) as brief,
        psycopg.connect(postgresql_url) as application,
    ):
        migration.execute(SETUP + "INSERT INTO accounts VALUES (1)")

        def run(who: str, connection: psycopg.Connection[Any], *texts: str) -> None:
            try:
                for text in texts:
                    connection.execute(text)
            except psycopg.errors.OperationalError:
                lost.append(who)
            finally:
                connection.rollback()

        brief.execute("INSERT INTO payments VALUES (1, 1)")
        application.execute("UPDATE accounts SET id = id WHERE id = 1")
        threads = [threading.Thread(target=run, args=("migration", migration, "BEGIN", *statements))]
        threads.append(
            threading.Thread(target=run, args=("application", application, "INSERT INTO payments VALUES (2, 1)"))
        )
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        time.sleep(0.15 if limit == "400ms" else 0.6)
        brief.commit()
        for thread in threads:
            thread.join()
    assert lost == [loser]

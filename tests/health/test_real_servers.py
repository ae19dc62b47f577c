"""Probes against the servers that tests may use, and against ones that are brought into trouble."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import services
from tests.health import servers
from tests.health.checking import check, one


def test_postgresql(postgresql_url: str) -> None:
    results = check(
        {"name": "query", "url": postgresql_url, "query": "select 40 + 2", "expect": {"value": 42}},
        {"name": "flag", "url": postgresql_url, "query": "select true", "expect": {"value": True}},
        {"name": "words", "url": postgresql_url, "query": "select '42'::text", "expect": {"value": 42}},
        {"name": "wrong", "url": postgresql_url, "query": "select 1", "expect": {"value": "> 1"}},
        {"name": "broken", "url": postgresql_url, "query": "select * from absent"},
        {"name": "writes", "url": postgresql_url, "query": "create table t ()"},
        {"name": "lag", "url": postgresql_url, "expect": {"replication_lag": "< 5"}},
        {"name": "absent", "url": postgresql_url.rsplit("/", 1)[0] + "/no_such_database"},
    )
    assert results["query"].state == "up"
    assert "logged in" in results["query"].detail
    assert results["flag"].state == "up"
    assert results["words"].reason == "assertion"
    assert results["wrong"].reason == "assertion"
    assert results["broken"].reason == "query_failed"
    assert "read-only" in results["writes"].detail
    assert results["lag"].state == "up"
    assert results["absent"].reason == "not_found"


def test_postgresql_password_login(postgresql_url: str) -> None:
    import psycopg
    from psycopg import sql

    role = "health_" + os.urandom(4).hex()
    parts = urlsplit(postgresql_url)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'right, pässword'").format(sql.Identifier(role)))
        try:
            base = {"type": "postgresql", "host": parts.hostname, "port": parts.port or 5432, "user": role}
            base["database"] = parts.path[1:]
            assert one({**base, "password": "right, pässword"}).state == "up"
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_pgbouncer(postgresql_url: str) -> None:
    """What a check asks leaves nothing in the session that the pool gives to the next; a login alone proves nothing."""
    import psycopg

    program = services.program("pgbouncer", "it is a pooler of our own", "/usr/sbin:/usr/bin")
    port, parts = servers.free_port(), urlsplit(postgresql_url)
    server = f"host={parts.hostname} dbname={parts.path[1:]} user={parts.username or 'postgres'}"
    server += f" password={parts.password}" if parts.password else ""
    folder = Path(tempfile.mkdtemp(prefix="health-pgbouncer-"))  # where another user can get to
    folder.chmod(0o755)
    (folder / "users").write_text('"app" "s3cret"\n')
    config = folder / "pgbouncer.ini"
    settings = [
        "[databases]", f"app = {server} port={parts.port or 5432}", f"dead = {server} port={servers.free_port()}",
        "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir =", "auth_type = md5",
        f"auth_file = {folder}/users", "pool_mode = transaction", "default_pool_size = 1",
        *(["user = nobody"] if os.getuid() == 0 else []),
    ]  # fmt: skip
    config.write_text("\n".join(settings) + "\n")
    url = f"postgresql://app:s3cret@127.0.0.1:{port}"
    with subprocess.Popen([program, "-q", config], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(50):
                asked = one({"url": f"{url}/app", "query": "select 40 + 2", "retries": 0})
                if asked.state == "up":
                    break
                time.sleep(0.1)
            assert asked.facts["value"] == 42
            with psycopg.connect(f"{url}/app", prepare_threshold=None) as session:
                kept = [
                    session.execute(f"show {name}").fetchone()
                    for name in ("default_transaction_read_only", "statement_timeout")
                ]
                assert kept == [("off",), ("0",)]
                full = one({"url": f"{url}/app", "timeout": "500ms"})
            assert (full.state, full.reason) == ("down", "upstream_down"), full
            assert one({"url": f"{url}/dead", "timeout": "500ms"}).reason == "upstream_down"
        finally:
            process.terminate()
            process.wait(10)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def own_postgresql() -> Iterator[tuple[Path, int]]:
    """A PostgreSQL of our own that asks for SCRAM passwords and has few connections; its folder and port."""
    programs = Path("/usr/lib/postgresql/15/bin")
    if not (programs / "initdb").exists():
        services.missing("the programs of a PostgreSQL server are not installed")
    folder = Path(tempfile.mkdtemp(prefix="health-postgresql-"))  # where another user can get to
    port = servers.free_port()
    account: dict[str, Any] = {}
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        folder.chmod(0o755)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        account = {"user": owner.pw_uid, "group": owner.pw_gid, "cwd": "/"}
    data, secret = folder / "data", folder / "secret"
    secret.write_text("s3cret")
    secret.chmod(0o644)
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "app", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync"],
        check=True, capture_output=True, **account,
    )  # fmt: skip
    settings = ["-c", "max_connections=5", "-c", "superuser_reserved_connections=1", "-c", "max_wal_senders=0"]
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"]
    command += settings
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **account) as process:
        try:
            for _ in range(100):
                if one({"type": "postgresql", "host": "127.0.0.1", "port": port, "retries": 0}).state == "up":
                    break
                time.sleep(0.1)
            yield folder, port
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_postgresql_scram_and_too_many_connections(own_postgresql: tuple[Path, int]) -> None:
    import psycopg

    folder, port = own_postgresql
    base = {"type": "postgresql", "host": "127.0.0.1", "port": port}
    results = check(
        {"name": "socket", "url": f"postgresql:///postgres?host={folder}&user=app&password=s3cret", "port": port},
        {"name": "right", **base, "user": "app", "password": "s3cret", "database": "postgres"},
        {"name": "wrong", **base, "user": "app", "password": "no", "database": "postgres"},
        {"name": "none", **base},
    )
    assert results["right"].state == results["socket"].state == "up", results["socket"]
    assert results["wrong"].reason == "auth_failed"
    assert "wants a password" in results["none"].detail
    with contextlib.ExitStack() as held:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                held.enter_context(
                    psycopg.connect(f"host=127.0.0.1 port={port} user=app password=s3cret dbname=postgres")
                )
        full = one({**base, "user": "app", "password": "s3cret", "database": "postgres"})
    assert (full.state, full.reason) == ("down", "too_many_connections"), full


@pytest.mark.slow
def test_a_query_may_not_outlive_the_timeout(own_postgresql: tuple[Path, int]) -> None:
    _, port = own_postgresql
    result = one(
        {"url": f"postgresql://app:s3cret@127.0.0.1:{port}/postgres", "query": "select pg_sleep(5)", "timeout": "700ms"}
    )
    assert result.reason in ("query_failed", "read_timeout")
    assert (result.phases["total"] or 0) < 1500


@pytest.mark.slow
def test_postgresql_that_shuts_down(own_postgresql: tuple[Path, int]) -> None:
    """The last test that uses this server: with a session open, a smart shutdown refuses new ones."""
    import psycopg

    folder, port = own_postgresql
    pid = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    with psycopg.connect(f"host=127.0.0.1 port={port} user=app password=s3cret dbname=postgres"):
        os.kill(pid, signal.SIGTERM)
        for _ in range(50):
            result = one({"url": f"postgresql://127.0.0.1:{port}", "retries": 0})
            if result.state == "down":
                break
            time.sleep(0.05)
        assert (result.reason, "57P03" in result.detail) == ("shutting_down", True), result


def test_mariadb(mariadb_url: str) -> None:
    parts = urlsplit(mariadb_url)
    base = {"type": "mysql", "host": parts.hostname, "port": parts.port or 3306}
    results = check(
        {"name": "query", "url": mariadb_url, "query": "select 6 * 7", "expect": {"value": 42}},
        {"name": "writes", "url": mariadb_url, "query": "create table t (id int)"},
        {"name": "unknown user", "type": "mysql", "host": parts.hostname, "port": parts.port or 3306}
        | {"name": "anybody"},
        {"name": "wrong", **base, "user": "root_" + os.urandom(3).hex(), "password": "no"},
        {"name": "absent", "url": mariadb_url.rsplit("/", 1)[0] + "/no_such_database"},
    )
    assert results["query"].state == "up"
    assert results["writes"].reason == "query_failed"
    assert results["anybody"].state == "up"
    assert not results["anybody"].facts["version"].startswith("5.5.5-")
    assert results["wrong"].reason == "auth_failed"
    assert results["absent"].reason == "not_found"


def test_mariadb_counts_no_aborted_connections(mariadb_url: str) -> None:
    import pymysql

    parts = urlsplit(mariadb_url)
    connection = pymysql.connect(
        host=parts.hostname or "", port=parts.port or 3306, user=parts.username or "root", password=parts.password or ""
    )

    def aborted() -> int:
        with connection.cursor() as cursor:
            cursor.execute("show global status like 'Aborted_clients'")
            row = cursor.fetchone()
        return int(row[1]) if row else 0

    with connection:
        before = aborted()
        for _ in range(5):
            assert one({"url": mariadb_url}).state == "up"
        assert aborted() == before


def test_mysql_native_password(mariadb_url: str) -> None:
    import pymysql

    parts = urlsplit(mariadb_url)
    user = "health_" + os.urandom(4).hex()
    with pymysql.connect(
        host=parts.hostname or "", port=parts.port or 3306, user=parts.username or "root", password=parts.password or ""
    ) as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"create user '{user}'@'%' identified by 'right'")
        try:
            base = {"type": "mysql", "host": parts.hostname, "port": parts.port or 3306, "user": user}
            assert one({**base, "password": "right"}).state == "up"
            assert one({**base, "password": "wrong"}).reason == "auth_failed"
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"drop user '{user}'@'%'")


@pytest.mark.parametrize("plugin", ["caching_sha2_password", "sha256_password"])
def test_mysql_wants_the_whole_password(plugin: str) -> None:
    """The server knows no proof of a new user yet, so each first login needs the password itself."""
    import pymysql

    parts = urlsplit(services.optional("mysql"))
    user = "health_" + os.urandom(4).hex()
    base = {"type": "mysql", "host": parts.hostname, "port": parts.port or 3306, "user": user}
    with pymysql.connect(
        host=parts.hostname or "", port=parts.port or 3306, user=parts.username or "root", password=parts.password or ""
    ) as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"create user '{user}'@'%' identified with {plugin} by 'right, pässword'")
        try:
            assert one({**base, "password": "wrong"}).reason == "auth_failed"
            assert one({**base, "password": "right, pässword", "query": "select 6 * 7"}).facts["value"] == 42
            with connection.cursor() as cursor:
                cursor.execute("flush privileges")  # what the server remembers of the password is gone
            encrypted = {**base, "host": "localhost", "tls": {"insecure": True}}
            assert one({**encrypted, "password": "right, pässword"}).state == "up"
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"drop user '{user}'@'%'")


@pytest.mark.slow
def test_mariadb_with_too_many_connections() -> None:
    import pymysql

    install = services.program("mariadb-install-db", "it makes a server of our own")
    program = services.program("mariadbd", "it is a server of our own", "/usr/sbin:/usr/bin")
    folder = Path(tempfile.mkdtemp(prefix="health-mariadb-"))
    port = servers.free_port()
    account = ["--user=root"] if os.getuid() == 0 else []
    place = ["--no-defaults", f"--datadir={folder / 'data'}", *account]
    subprocess.run([install, *place, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
    limits = ["--max-connections=10", "--bind-address=127.0.0.1", f"--port={port}"]
    command = [program, *place, *limits, f"--socket={folder / 'socket'}", "--innodb-buffer-pool-size=16M"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                if one({"url": f"mysql://root@127.0.0.1:{port}", "retries": 0}).state == "up":
                    break
                time.sleep(0.1)
            with contextlib.ExitStack() as held:
                with contextlib.suppress(pymysql.Error):
                    for _ in range(20):
                        held.enter_context(pymysql.connect(host="127.0.0.1", port=port, user="root"))
                result = one({"url": f"mysql://root@127.0.0.1:{port}"})
            assert (result.reason, "1040" in result.detail) == ("too_many_connections", True), result
            user = pymysql.connect(host="127.0.0.1", port=port, user="root")
            assert one({"url": f"mysql://root@127.0.0.1:{port}"}).state == "up"
            user.close()
        finally:
            process.kill()
            process.wait(20)
            shutil.rmtree(folder, ignore_errors=True)


def test_redis(redis_url: str) -> None:
    assert one({"url": redis_url, "expect": {"role": "master", "memory_bytes": "> 0"}}).state == "up"
    assert one({"url": redis_url, "key": "health:absent-list", "expect": {"length": 0}}).state == "up"


@pytest.mark.slow
def test_redis_that_wants_a_password_is_loading_or_has_lost_its_primary(tmp_path: Path) -> None:
    program = services.program("redis-server", "it is a server of our own")
    port = servers.free_port()
    command = [program, "--port", str(port), "--save", "", "--dir", str(tmp_path), "--requirepass", "s3cret"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                if one({"url": f"redis://127.0.0.1:{port}", "retries": 0}).state == "up":
                    break
                time.sleep(0.05)
            assert "wants a password" in one({"url": f"redis://127.0.0.1:{port}"}).detail
            assert one({"url": f"redis://:s3cret@127.0.0.1:{port}"}).detail == "PONG"
            assert one({"url": f"redis://:wrong@127.0.0.1:{port}"}).reason == "auth_failed"
            replica = ["REPLICAOF", "127.0.0.1", str(servers.free_port())]
            for words in (["AUTH", "s3cret"], replica, ["CONFIG", "SET", "replica-serve-stale-data", "no"]):
                _redis(port, ["AUTH", "s3cret"], words)
            assert one({"url": f"redis://:s3cret@127.0.0.1:{port}"}).reason == "replica_disconnected"
        finally:
            process.terminate()


@pytest.mark.slow
def test_redis_that_loads_its_data(tmp_path: Path) -> None:
    program = services.program("redis-server", "it is a server of our own")
    port = servers.free_port()
    slow = ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024", "--rdbcompression", "no"]
    command = [program, "--port", str(port), "--save", "", "--dir", str(tmp_path), "--enable-debug-command", "yes"]
    with subprocess.Popen([*command, *slow], stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                if one({"url": f"redis://127.0.0.1:{port}", "retries": 0}).state == "up":
                    break
                time.sleep(0.05)
            _redis(port, ["DEBUG", "POPULATE", "2000"], ["SAVE"])
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(b"DEBUG RELOAD NOSAVE\r\n")
                for _ in range(40):
                    result = one({"url": f"redis://127.0.0.1:{port}", "timeout": "3s"})
                    if result.state == "down":
                        break
                assert result.reason == "loading", result
        finally:
            process.kill()


def _redis(port: int, *commands: list[str]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        for words in commands:
            sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            assert sock.recv(1000).startswith(b"+"), words


def test_rabbitmq() -> None:
    url = services.require("rabbitmq")
    parts = urlsplit(url)
    results = check(
        {"name": "login", "url": url},
        {"name": "none", "url": f"amqp://{parts.hostname}:{parts.port or 5672}"},
        {"name": "wrong", "url": f"amqp://guest:wrong@{parts.hostname}:{parts.port or 5672}/"},
        {"name": "vhost", "url": url.rstrip("/") + "/no-such-vhost"},
        {"name": "queue", "url": url, "queue": "health-absent"},
    )
    assert results["login"].state == "up"
    assert "RabbitMQ" in results["none"].detail
    assert results["wrong"].reason == "auth_failed"
    assert results["vhost"].reason == "not_found"
    assert results["queue"].reason == "not_found"


def test_nats_and_mqtt() -> None:
    assert "PONG" in one({"url": services.require("nats")}).detail
    assert one({"url": services.require("mosquitto")}).detail == "ping answered"


def test_grpc() -> None:
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    servicer.set("orders", health_pb2.HealthCheckResponse.NOT_SERVING)
    servicer.set("users", health_pb2.HealthCheckResponse.SERVING)
    bare = grpc.server(futures.ThreadPoolExecutor(1))
    port, other = server.add_insecure_port("127.0.0.1:0"), bare.add_insecure_port("127.0.0.1:0")
    server.start()
    bare.start()
    try:
        results = check(
            {"name": "whole", "url": f"grpc://127.0.0.1:{port}"},
            {"name": "users", "url": f"grpc://127.0.0.1:{port}/users"},
            {"name": "orders", "url": f"grpc://127.0.0.1:{port}/orders"},
            {"name": "absent", "url": f"grpc://127.0.0.1:{port}/absent"},
            {"name": "bare", "url": f"grpc://127.0.0.1:{other}"},
        )
    finally:
        server.stop(None)
        bare.stop(None)
    assert results["whole"].state == results["users"].state == "up"
    assert results["orders"].reason == "not_serving"
    assert (results["absent"].reason, results["bare"].reason) == ("not_found", "unsupported")


def test_websocket() -> None:
    from websockets.sync.server import serve

    def echo(connection: Any) -> None:
        connection.send("hello")
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        result = one({"url": f"ws://127.0.0.1:{port}/socket"})
        server.shutdown()
    assert (result.state, result.detail) == ("up", "ping answered")


def test_smtp() -> None:
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Sink

    controller = Controller(Sink(), hostname="127.0.0.1", port=servers.free_port())
    controller.start()
    try:
        assert one({"url": f"smtp://127.0.0.1:{controller.port}"}).state == "up"
        plain = one({"url": f"smtp://127.0.0.1:{controller.port}", "starttls": True})
        assert plain.reason == "tls_handshake"
    finally:
        controller.stop()
        asyncio.set_event_loop(None)


def test_ssh(tmp_path: Path) -> None:
    program = services.program("sshd", "it is a server of our own", "/usr/sbin:/usr/bin:/usr/local/sbin")
    services.program("ssh-keygen", "it makes the server's key")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    port = servers.free_port()
    config = tmp_path / "sshd_config"
    config.write_text(f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {key}\nPidFile none\nUsePAM no\n")
    Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen([program, "-D", "-f", config], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(50):
                result = one({"url": f"ssh://127.0.0.1:{port}", "retries": 0})
                if result.state == "up":
                    break
                time.sleep(0.05)
        finally:
            process.terminate()
    assert result.detail.startswith("SSH-2.0-OpenSSH")

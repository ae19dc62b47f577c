"""The schema on which the rules' examples stand, one for each engine; examples take it for what is in production."""

POSTGRESQL = """
CREATE TABLE orgs (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE users (
    id bigint PRIMARY KEY,
    email varchar(50),
    name text,
    age int,
    active boolean NOT NULL DEFAULT true,
    org_id bigint,
    balance numeric(10, 2),
    code char(10),
    note text,
    born timestamp,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX users_email ON users (email);
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    user_id bigint NOT NULL,
    total numeric(10, 2),
    state text NOT NULL DEFAULT 'new',
    CONSTRAINT orders_user_fk FOREIGN KEY (user_id) REFERENCES users (id)
);
CREATE INDEX orders_user_id ON orders (user_id);
CREATE TABLE logs (id bigint, line text);
CREATE TABLE events (id bigint NOT NULL, at int NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100000);
CREATE TABLE events_2 (id bigint NOT NULL, at int NOT NULL);
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN label AS text;
CREATE VIEW active_users AS SELECT id, name FROM users WHERE active;
CREATE MATERIALIZED VIEW user_names AS SELECT id, name FROM users;
CREATE UNIQUE INDEX user_names_id ON user_names (id);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
"""

POSTGRESQL_DATA = """
INSERT INTO orgs SELECT i, 'org ' || i FROM generate_series(1, 2000) AS i;
INSERT INTO users (id, email, name, age, org_id, balance, code, born)
    SELECT i, i || '@example.com', 'name ' || i, i % 90, i, i, i::text, now() FROM generate_series(1, 2000) AS i;
INSERT INTO orders (id, user_id, total) SELECT i, i, i FROM generate_series(1, 2000) AS i;
INSERT INTO logs SELECT i, 'line ' || i FROM generate_series(1, 2000) AS i;
INSERT INTO events SELECT i, i FROM generate_series(1, 2000) AS i;
INSERT INTO events_2 SELECT i, 100000 + i FROM generate_series(1, 2000) AS i;
REFRESH MATERIALIZED VIEW user_names;
"""
"""Rows for measuring; 2,000 in every table, more than enough to tell a scan from none."""

ROWS = 2000

MYSQL = """
CREATE TABLE orgs (id BIGINT PRIMARY KEY, name VARCHAR(100) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE users (
    id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    email VARCHAR(50) COLLATE utf8mb4_bin DEFAULT NULL COMMENT 'login',
    name VARCHAR(60),
    age INT,
    org_id BIGINT,
    balance DECIMAL(10, 2),
    state ENUM('new', 'active') NOT NULL DEFAULT 'new',
    bio TEXT,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    place POINT NOT NULL DEFAULT (POINT(0, 0)),
    KEY users_email (email)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE orders (
    id BIGINT PRIMARY KEY,
    user_id INT NOT NULL,
    total DECIMAL(10, 2),
    KEY orders_user_id (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
"""

SQLITE = """
CREATE TABLE orgs (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email TEXT UNIQUE,
    name TEXT,
    age INTEGER,
    org_id INTEGER REFERENCES orgs (id),
    full_name TEXT GENERATED ALWAYS AS (name || '!') VIRTUAL
);
CREATE INDEX users_age ON users (age);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    total INTEGER
);
CREATE VIEW user_names AS SELECT id, name FROM users;
CREATE TRIGGER orders_touch AFTER INSERT ON orders BEGIN UPDATE users SET age = age WHERE id = NEW.user_id; END;
"""

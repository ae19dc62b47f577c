CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL, name text);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint REFERENCES users (id),
    status text NOT NULL DEFAULT 'open',
    total_cents bigint NOT NULL DEFAULT 0,
    note text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE stock (id bigint PRIMARY KEY, n int NOT NULL CHECK (n >= 0));
CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL,
    key text NOT NULL,
    type text NOT NULL,
    payload jsonb NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}'
);
INSERT INTO users (email) SELECT 'user' || n || '@example.org' FROM generate_series(1, 30) n;
INSERT INTO orders (user_id, note) SELECT 1 + n % 30, 'n' FROM generate_series(1, 100) n;
INSERT INTO stock VALUES (3, 5), (7, 5);

CREATE TABLE stock (product text PRIMARY KEY, n int NOT NULL CHECK (n >= 0));
CREATE TABLE inbox (
    consumer text NOT NULL,
    event_id text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE TABLE inbox_failure (
    consumer text NOT NULL,
    event_id text NOT NULL,
    attempts int NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE TABLE inbox_dead (
    consumer text NOT NULL,
    event_id text NOT NULL,
    body bytea NOT NULL,
    error text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE VIEW dead_event AS SELECT event_id, body, error FROM inbox_dead;

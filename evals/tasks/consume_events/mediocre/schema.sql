CREATE TABLE stock (product text PRIMARY KEY, n int NOT NULL CHECK (n >= 0));
CREATE TABLE handled (event_id text PRIMARY KEY);
CREATE TABLE dead_event (event_id text PRIMARY KEY, body bytea, error text);

CREATE TABLE session (token text PRIMARY KEY, user_id text NOT NULL);

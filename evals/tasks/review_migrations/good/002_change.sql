ALTER TABLE users ALTER COLUMN code TYPE varchar(40);
ALTER TABLE users ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid();
ALTER TABLE users ALTER COLUMN n TYPE bigint;
CREATE INDEX users_code ON users (code);
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id bigint NOT NULL);
CREATE INDEX notes_user ON notes (user_id);
ALTER TABLE users ADD COLUMN number serial;

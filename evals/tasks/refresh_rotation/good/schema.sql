CREATE TABLE refresh_family (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_family_subject ON refresh_family (subject);
CREATE TABLE refresh_token (
    hash bytea PRIMARY KEY,
    family bigint NOT NULL REFERENCES refresh_family (id) ON DELETE CASCADE,
    used_at timestamptz,
    expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_token_family ON refresh_token (family);

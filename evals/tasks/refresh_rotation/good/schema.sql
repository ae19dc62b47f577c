CREATE TABLE refresh_token (
    hash bytea PRIMARY KEY,
    family uuid NOT NULL,
    subject text NOT NULL,
    used_at timestamptz,
    expires_at timestamptz NOT NULL,
    family_expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_token_family ON refresh_token (family);
CREATE INDEX refresh_token_subject ON refresh_token (subject);
CREATE INDEX refresh_token_family_expires_at ON refresh_token (family_expires_at);

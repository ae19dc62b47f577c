CREATE TABLE job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    payload jsonb NOT NULL,
    state text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'dead')),
    run_at timestamptz NOT NULL DEFAULT now(),
    attempts int NOT NULL DEFAULT 0,
    max_attempts int NOT NULL DEFAULT 5,
    lease_id uuid,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX job_ready ON job (queue, run_at, id) WHERE state = 'ready';

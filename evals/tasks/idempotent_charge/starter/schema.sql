CREATE TABLE charge (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    amount_cents bigint NOT NULL
);

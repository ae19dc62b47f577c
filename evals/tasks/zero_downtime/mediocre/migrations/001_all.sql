-- migrate:up
ALTER TABLE payments ALTER COLUMN reference SET NOT NULL;
ALTER TABLE payments ADD CONSTRAINT payments_account_fk FOREIGN KEY (account_id) REFERENCES accounts (id);
CREATE INDEX payments_account_id ON payments (account_id);
-- migrate:down
DROP INDEX payments_account_id;

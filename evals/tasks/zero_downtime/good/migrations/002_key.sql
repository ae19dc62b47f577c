-- migrate:up
SET LOCAL lock_timeout = '2s';
ALTER TABLE payments ADD CONSTRAINT payments_account_fk FOREIGN KEY (account_id) REFERENCES accounts (id) NOT VALID;
-- migrate:down
ALTER TABLE payments DROP CONSTRAINT payments_account_fk;

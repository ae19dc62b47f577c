-- migrate:up transaction:false
SET lock_timeout = '2s';
ALTER TABLE payments VALIDATE CONSTRAINT payments_reference_present;
ALTER TABLE payments VALIDATE CONSTRAINT payments_account_fk;
ALTER TABLE payments ALTER COLUMN reference SET NOT NULL;
ALTER TABLE payments DROP CONSTRAINT payments_reference_present;
CREATE INDEX CONCURRENTLY payments_account_id ON payments (account_id);
-- migrate:down
DROP INDEX payments_account_id;

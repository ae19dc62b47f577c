-- migrate:up
SET LOCAL lock_timeout = '2s';
ALTER TABLE payments ADD CONSTRAINT payments_reference_present CHECK (reference IS NOT NULL) NOT VALID;
-- migrate:down
ALTER TABLE payments DROP CONSTRAINT payments_reference_present;

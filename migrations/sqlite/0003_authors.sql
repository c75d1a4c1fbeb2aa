-- Who made a change of an alias, and why. NULL: an older aka made it, or nobody said.

-- operation_id: the same number in all changes of one call, and in its line of the audit trail.
-- principal, reason: UTF-8.
ALTER TABLE alias_change ADD COLUMN operation_id INTEGER NULL;
ALTER TABLE alias_change ADD COLUMN principal    BLOB    NULL;
ALTER TABLE alias_change ADD COLUMN reason       BLOB    NULL;

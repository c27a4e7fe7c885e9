-- +goose Up
-- Of a message that could not be believed only as much is kept as its row takes: whoever can publish must not fill the disk. What was kept
-- beside such a message (0019, which no release had without this) is left to the sweep. The release before does not know the column.
UPDATE bodies SET loose_at = 1 WHERE id IN (SELECT body FROM body_holds WHERE owner LIKE 'rejected/%')
    AND NOT EXISTS (SELECT 1 FROM body_holds AS h WHERE h.body = bodies.id AND h.owner NOT LIKE 'rejected/%');
DELETE FROM body_holds WHERE owner LIKE 'rejected/%';
ALTER TABLE inbox_rejected DROP COLUMN large;

-- +goose Up
-- An append numbers, digests and writes a message in one statement, which must give the message the digest of its predecessor: what
-- last_digest was before.
ALTER TABLE outbox_lanes ADD COLUMN prev_digest TEXT NOT NULL DEFAULT '';

-- Each append and each settlement changes pending. An index that names it has a new entry each time, even where the lane still owes
-- something and stands where it stood; one that names owing has none (heap-only updates), if the page has room for the new row.
ALTER TABLE outbox_lanes ADD COLUMN owing BOOLEAN NOT NULL GENERATED ALWAYS AS (pending > 0) STORED;
ALTER TABLE outbox_lanes SET (fillfactor = 50);
DROP INDEX outbox_lanes_due;
CREATE INDEX outbox_lanes_due ON outbox_lanes (link, priority, due_at) WHERE owing AND state = 'open' AND NOT paused;
DROP INDEX outbox_lanes_pending;
CREATE INDEX outbox_lanes_pending ON outbox_lanes (link, head_at) WHERE owing;

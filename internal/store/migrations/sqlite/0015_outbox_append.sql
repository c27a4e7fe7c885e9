-- +goose Up
-- PostgreSQL's append in one statement keeps here what last_digest was before; SQLite has no round trips to save, and leaves it empty.
ALTER TABLE outbox_lanes ADD COLUMN prev_digest TEXT NOT NULL DEFAULT '';

-- Whether a lane owes anything changes less often than how much, and with it what is in these indexes.
ALTER TABLE outbox_lanes ADD COLUMN owing BOOLEAN NOT NULL GENERATED ALWAYS AS (pending > 0) VIRTUAL;
DROP INDEX outbox_lanes_due;
CREATE INDEX outbox_lanes_due ON outbox_lanes (link, priority, due_at) WHERE owing AND state = 'open' AND NOT paused;
DROP INDEX outbox_lanes_pending;
CREATE INDEX outbox_lanes_pending ON outbox_lanes (link, head_at) WHERE owing;

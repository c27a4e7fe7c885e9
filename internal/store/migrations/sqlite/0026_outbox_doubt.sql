-- +goose Up
-- How many messages may have been sent without an answer is asked every few seconds, and nearly always none are: the lanes of which it is
-- true have an index. A lane that is in hand is found by its lease.
ALTER TABLE outbox_lanes ADD COLUMN doubtful BOOLEAN NOT NULL GENERATED ALWAYS AS (pending > 0 AND sent_to >= head AND lease_owner = '') VIRTUAL;
CREATE INDEX outbox_lanes_doubtful ON outbox_lanes (link, lane) WHERE doubtful;

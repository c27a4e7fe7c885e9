-- +goose Up
-- How many messages may have been sent without an answer is asked every few seconds, and nearly always none are. Without an index the
-- database compared the two numbers of every lane that owes something, took a third of them for doubtful, and read the whole outbox to
-- find their messages: behind a million that waited it spent most of its time on that. A lane that is in hand is found by its lease.
-- Of a column the database knows how rare it is; of a condition it does not.
ALTER TABLE outbox_lanes ADD COLUMN doubtful BOOLEAN NOT NULL GENERATED ALWAYS AS (pending > 0 AND sent_to >= head AND lease_owner = '') STORED;
CREATE INDEX outbox_lanes_doubtful ON outbox_lanes (link, lane) WHERE doubtful;

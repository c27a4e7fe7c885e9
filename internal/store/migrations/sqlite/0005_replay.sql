-- +goose Up
-- A replay asks the ERP for each message before it sends it. replay says how a message that was delivered before goes out again:
-- 'ask', nothing of it is under way and the ERP is asked first; 'force', a person has had it sent without asking, once; '', it may
-- have been sent since. The release before takes such a message for one that is sent without asking, as it always did.
ALTER TABLE outbox_messages ADD COLUMN replay TEXT NOT NULL DEFAULT '';

-- How often the ERP certainly or possibly received a message. attempts counts something else: what brings it nearer to being parked.
ALTER TABLE outbox_messages ADD COLUMN sends BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox_delivered ADD COLUMN sends BIGINT NOT NULL DEFAULT 0;

-- A lane that a person has paused is shown until it is resumed, also while it owes nothing.
CREATE INDEX outbox_lanes_paused ON outbox_lanes (link, head_at) WHERE paused;

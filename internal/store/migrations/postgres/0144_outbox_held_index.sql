-- +goose Up
-- The list of what waits for a person to let it go, the latest first: few messages, among as many as an outage has left. The time is that of a
-- held message, which no other has. The release before is served by the index too.
CREATE INDEX outbox_messages_held ON outbox_messages (created_at, id, redelivery) WHERE not_before >= 253370764800000000;

-- +goose Up
-- Which sets of mappings the owed name is asked every hour, so that those that nobody names are deleted. Few messages name one of their own, among
-- as many as an outage has left. The release before is served by the index too.
CREATE INDEX outbox_messages_sent_by ON outbox_messages (sent_by) WHERE sent_by <> '';

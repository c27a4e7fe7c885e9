-- +goose Up
-- What became of a message when it was changed is looked up by that time, once for each message that was changed, in a record that holds the heads
-- of lanes every minute for years. The release before is served by the index too.
CREATE INDEX audit_entries_lanes_at ON audit_entries (at) WHERE object = 'lanes';

-- +goose Up
-- Each act is held against what the same person, and anybody, did of its sort within minutes or an hour: all of it is counted, so it must be found at once.
CREATE INDEX audit_entries_actor ON audit_entries (action, actor, at);
CREATE INDEX audit_entries_action ON audit_entries (action, at);

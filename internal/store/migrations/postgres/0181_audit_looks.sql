-- +goose Up
-- How often somebody has looked up what tokens stand for is counted by the record too: the rows of token_looks can be deleted unseen.
CREATE INDEX audit_entries_looks ON audit_entries (actor, at) WHERE action IN ('token.reveal', 'token.find');

-- +goose Up
-- Who was refused what, by actor: a rule counts that with each refusal, whatever the action.
CREATE INDEX audit_entries_refused ON audit_entries (actor, at) WHERE outcome = 'refused';

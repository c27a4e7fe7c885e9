-- +goose Up
-- Before the record remembers a checkpoint it is asked whether an earlier one has a later time: by this index, not by reading them all.
CREATE INDEX audit_checkpoints_at ON audit_checkpoints (at);

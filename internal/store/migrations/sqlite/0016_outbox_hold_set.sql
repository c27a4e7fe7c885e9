-- +goose Up
-- When hold_until was written, by the clock of the node that wrote it: a hold of a clock that was ahead is told by it.
ALTER TABLE outbox_links ADD COLUMN hold_set BIGINT NOT NULL DEFAULT 0;

-- +goose Up
-- Until when an ERP has asked not to be called (Retry-After): it holds for every node, and after a restart.
ALTER TABLE outbox_links ADD COLUMN hold_until BIGINT NOT NULL DEFAULT 0;

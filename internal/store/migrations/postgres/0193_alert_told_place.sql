-- +goose Up
-- A channel looks at a batch of alerts again where a later one was not taken: what was counted of it as told or repeated is counted once.
ALTER TABLE alert_told ADD COLUMN place BIGINT NOT NULL DEFAULT -1;

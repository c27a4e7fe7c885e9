-- +goose Up
-- Receipts are purged by when they were settled: a message of long ago that was delivered again has a fresh one.
CREATE INDEX outbox_delivered_settled ON outbox_delivered (settled_at);

-- +goose Up
-- A row here excuses messages that are no longer there. It bears a MAC under a key of the plant's keyring, so that nobody else can excuse one: the number
-- of the key's epoch, eight bytes, and the MAC. What is noted before receipts have MACs gets one when they begin (receipt_mac).
ALTER TABLE outbox_purged ADD COLUMN mac BLOB;

-- +goose Up
-- What the plant keeps of a delivery beside the message (the ERP's number and answer, when and how it was settled) is in no digest and no signature of
-- the plant's. It bears a MAC under a key of the plant's keyring: the number of the key's epoch, eight bytes, for a receipt of several messages their
-- first and last number, and the MAC. A plant without keys writes none.
ALTER TABLE outbox_delivered ADD COLUMN receipt_mac BLOB;
ALTER TABLE outbox_receipts ADD COLUMN receipt_mac BLOB;

-- Whether the first node that has keys writes down that each receipt has a MAC from then on: on SQLite no node of the release before is at work.
ALTER TABLE audit_tree ADD COLUMN receipts BIGINT NOT NULL DEFAULT 1;

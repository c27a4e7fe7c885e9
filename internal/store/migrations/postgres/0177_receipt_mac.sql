-- +goose Up
-- What the plant keeps of a delivery beside the message (the ERP's number and answer, when and how it was settled) is in no digest and no signature of
-- the plant's. It bears a MAC under a key of the plant's keyring: the number of the key's epoch, eight bytes, for a receipt of several messages their
-- first and last number, and the MAC. A node of the release before writes none, nor does a plant without keys.
ALTER TABLE outbox_delivered ADD COLUMN receipt_mac BYTEA;
ALTER TABLE outbox_receipts ADD COLUMN receipt_mac BYTEA;

-- Whether the first node that has keys writes down that each receipt has a MAC from then on. Where a node of the release before may still write, a
-- person says when: keys reseal.
ALTER TABLE audit_tree ADD COLUMN receipts BIGINT NOT NULL DEFAULT 0;
UPDATE audit_tree SET receipts = 1 WHERE NOT EXISTS (SELECT 1 FROM audit_entries);

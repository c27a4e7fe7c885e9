-- +goose Up
-- The plant's own statement, sealed under the epoch of the moment, that something it owes may be unsealed; none once nothing is. whole_at
-- only says since when: it is not what is believed.
ALTER TABLE rest_state ADD COLUMN plain BLOB;

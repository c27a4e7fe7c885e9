-- +goose Up
-- What was asked, and by whom, bears a MAC under a key of the plant's keyring, since whoever can write the database could otherwise ask in another's name:
-- the number of the key's epoch, eight bytes, and the MAC. What the release before has kept has none, and is asked anew. document is the ERP's number of
-- what is to count as delivered (act mark-delivered); undiscard is an act too.
ALTER TABLE outbox_asked ADD COLUMN document TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_asked ADD COLUMN mac BYTEA;

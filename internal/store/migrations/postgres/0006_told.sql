-- +goose Up
-- The number that a receipt brought is told to the plant in a transaction of its own, after the settling one: that one holds the
-- lane, and whoever appends holds the object and waits for the lane. told says that it was; what a crash between the two has left
-- is found by the index, which is empty in quiet times. Numbers of other objects than orders and lots are told to nobody.
ALTER TABLE outbox_refs ADD COLUMN told BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE outbox_refs SET told = TRUE WHERE object NOT LIKE 'order/%' AND object NOT LIKE 'lot/%';
CREATE INDEX outbox_refs_untold ON outbox_refs (link, object) WHERE number <> '' AND NOT told;

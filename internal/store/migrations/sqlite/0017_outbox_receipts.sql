-- +goose Up
-- To move a message into outbox_delivered at its settlement costs more than all else that is done for it. Where the answers say nothing
-- of their own, as a broker's confirms do, a settlement now writes one receipt for all the messages of its lane that it settles, and
-- the lane's head moves on; a little later, and in bulk, those messages are moved as before and their receipts deleted.
CREATE TABLE outbox_receipts (
    id           INTEGER PRIMARY KEY,
    link         TEXT NOT NULL,
    lane         TEXT NOT NULL,
    epoch        BIGINT NOT NULL,
    first_number BIGINT NOT NULL,
    last_number  BIGINT NOT NULL,
    settled_at   BIGINT NOT NULL,
    sent_with    TEXT NOT NULL,
    doc_kind     TEXT NOT NULL,
    status       BIGINT NOT NULL,
    answered     TEXT NOT NULL
);
CREATE UNIQUE INDEX outbox_receipts_lane ON outbox_receipts (link, lane, epoch, first_number);

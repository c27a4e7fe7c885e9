-- +goose Up
-- A body over a limit does not travel in the row of its message: it stands in chunks, once for all messages that have it, and is read
-- piece by piece. It is written before the transaction that owes or takes the message: loose_at, the time since when nothing refers to
-- it, lets a sweep find what such a transaction has left behind; 0 while a message holds it. state is open while chunks are written,
-- kept when it is whole, gone when the sweep has taken it.
CREATE TABLE bodies (
    id       TEXT PRIMARY KEY,
    state    TEXT NOT NULL,
    digest   TEXT NOT NULL DEFAULT '',
    size     BIGINT NOT NULL DEFAULT 0,
    loose_at BIGINT NOT NULL
);
CREATE INDEX bodies_digest ON bodies (digest) WHERE state = 'kept';
CREATE INDEX bodies_loose ON bodies (loose_at) WHERE loose_at > 0;

CREATE TABLE body_chunks (
    body  TEXT NOT NULL REFERENCES bodies (id),
    seq   BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (body, seq)
);

-- Which messages have a body: by the name of the message, not of its row, so that a message takes its body along from table to table.
CREATE TABLE body_holds (
    owner TEXT NOT NULL,
    body  TEXT NOT NULL REFERENCES bodies (id),
    PRIMARY KEY (owner, body)
);
CREATE INDEX body_holds_body ON body_holds (body);

-- Where a message's body stands, its size and digest; empty where it is in the row. The release before knows nothing of it: it takes
-- such a message for one that was altered, and parks its lane.
ALTER TABLE outbox_messages ADD COLUMN large TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_delivered ADD COLUMN large TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_events ADD COLUMN large TEXT NOT NULL DEFAULT '';
ALTER TABLE inbox_messages ADD COLUMN large TEXT NOT NULL DEFAULT '';
ALTER TABLE inbox_messages ADD COLUMN original_large TEXT NOT NULL DEFAULT '';
ALTER TABLE inbox_rejected ADD COLUMN large TEXT NOT NULL DEFAULT '';

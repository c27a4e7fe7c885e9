-- +goose Up
-- What may have been sent is asked for as it was mapped then, whatever the plant maps by since. Each set of mappings that a node has mapped by
-- is kept, shipped files and own ones; a lane names the set by which what it has marked goes out, and holds it to be true as long as nobody has
-- taken the lane since who does not know the column, as a node of the release before; a message names what it may have been sent by, where
-- the lane has gone over to another set since, or a replay of it is owed. '' is not known: it is asked for by the mappings in use.
CREATE TABLE mapping_sets (
    name     TEXT   PRIMARY KEY, -- the first letters of hash
    hash     TEXT   NOT NULL,    -- SHA-256
    files    BLOB  NOT NULL,    -- zip
    mappings TEXT   NOT NULL,    -- their versions, each followed by a line feed
    at       BIGINT NOT NULL     -- microseconds
);
ALTER TABLE outbox_lanes ADD COLUMN sent_by TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_lanes ADD COLUMN sent_by_token BIGINT NOT NULL DEFAULT 0; -- lease_token of those who know sent_by
ALTER TABLE outbox_messages ADD COLUMN sent_by TEXT NOT NULL DEFAULT '';

-- +goose Up
-- How far the record has been handed on to each collector of security events: the place in the tree of the next entry. One node hands on at a
-- time; it holds the lease. The release before does not know the table: it hands nothing on, and the next one goes on where the last has stopped.
CREATE TABLE siem_cursors (
    collector TEXT COLLATE "C" PRIMARY KEY,
    place     BIGINT NOT NULL DEFAULT 0,
    owner     TEXT NOT NULL DEFAULT '',
    until     BIGINT NOT NULL DEFAULT 0, -- microseconds, as all times
    sent_at   BIGINT NOT NULL DEFAULT 0,
    trouble   TEXT NOT NULL DEFAULT ''
);

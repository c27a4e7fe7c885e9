-- +goose Up
-- Entries of the audit record that a collector, the rules or a channel had before they had places, since the record stood: once they have theirs, nobody
-- is told of them twice. The release before does not know the table: it waits while the record stands, and judges and tells again what is here.
CREATE TABLE siem_ahead (
    collector TEXT COLLATE "C" NOT NULL,
    entry     BIGINT NOT NULL,
    PRIMARY KEY (collector, entry)
);

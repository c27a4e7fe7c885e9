-- +goose Up
-- Each entry gets a MAC when it is written, under a key of the plant's keyring over the entry, its number and the MAC of the entry before
-- it in its chain. SQLite has one writer, and so one chain.
ALTER TABLE audit_entries ADD COLUMN chain BIGINT NOT NULL DEFAULT 0; -- 0: written before entries had MACs
ALTER TABLE audit_entries ADD COLUMN link BIGINT NOT NULL DEFAULT 0;  -- its place in the chain, from 1
ALTER TABLE audit_entries ADD COLUMN previous BLOB;                   -- MAC of the entry before
ALTER TABLE audit_entries ADD COLUMN mac BLOB;
ALTER TABLE audit_entries ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0; -- whose key made the MAC
CREATE UNIQUE INDEX audit_entries_chain ON audit_entries (chain, link) WHERE chain > 0;

CREATE TABLE audit_chains (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    length BIGINT NOT NULL,
    mac    BLOB   NOT NULL -- of its last entry
);

-- What a process without the plant's keys had to tell, as a restore on a machine of its own: the next node repeats it, and says that nobody vouches for it.
CREATE TABLE audit_notes (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    told BLOB NOT NULL -- JSON
);

-- Whether the first node that has keys begins with them: on SQLite no node of the release before is at work.
ALTER TABLE audit_tree ADD COLUMN macs BIGINT NOT NULL DEFAULT 1;

-- A release before would go on without MACs, and nobody could tell its entries from those that somebody put in: it is refused its act instead.
-- +goose StatementBegin
CREATE TRIGGER audit_entries_mac BEFORE INSERT ON audit_entries WHEN NEW.chain = 0 AND EXISTS (SELECT 1 FROM audit_chains)
BEGIN
    SELECT RAISE(ABORT, 'audit entries have MACs: this release of Holdfast makes none, start the newer one');
END;
-- +goose StatementEnd

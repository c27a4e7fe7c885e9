-- +goose Up
-- The record of acts becomes a Merkle tree (RFC 6962), so that whoever holds one signed checkpoint of it can tell whether an entry was
-- changed, removed, moved or put in later. Acts do not wait for the tree: each leaves its entry's number in audit_pending, by a trigger,
-- so that the release before does so too; one node at a time takes what waits there and gives it its place.
-- An act that is under way on a node of the release before is waited for: its entry must not be missed by both what follows.
LOCK TABLE audit_entries IN SHARE ROW EXCLUSIVE MODE;

CREATE TABLE audit_pending (
    entry BIGINT PRIMARY KEY
);
INSERT INTO audit_pending (entry) SELECT seq FROM audit_entries;

-- Which entry is at which place of the tree: entries are numbered before they are committed, and so not in the order of their commits.
CREATE TABLE audit_leaves (
    leaf  BIGINT PRIMARY KEY, -- from 0, without gaps
    entry BIGINT NOT NULL UNIQUE
);

-- The hashes of the tree, in the order of golang.org/x/mod/sumdb/tlog: each is written once, when all below it is known.
CREATE TABLE audit_hashes (
    pos  BIGINT PRIMARY KEY,
    hash BYTEA NOT NULL
);

-- What was signed of the tree, in the form of c2sp.org/tlog-checkpoint. The same is written outside the database.
CREATE TABLE audit_checkpoints (
    size BIGINT PRIMARY KEY, -- how many leaves it covers
    at   BIGINT NOT NULL,    -- microseconds
    node TEXT   NOT NULL,
    note TEXT   NOT NULL
);

-- One row: how far the tree is, and who builds it.
CREATE TABLE audit_tree (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    size     BIGINT NOT NULL,
    owner    TEXT   NOT NULL,
    until    BIGINT NOT NULL, -- microseconds; the end of the owner's lease
    lanes_at BIGINT NOT NULL  -- microseconds; up to when it is held which lanes have moved
);
INSERT INTO audit_tree (id, size, owner, until, lanes_at) VALUES (1, 0, '', 0, 0);

-- +goose StatementBegin
CREATE FUNCTION audit_entries_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO audit_pending (entry) VALUES (NEW.seq); RETURN NULL; END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_entries_added AFTER INSERT ON audit_entries FOR EACH ROW EXECUTE FUNCTION audit_entries_wait();
CREATE TRIGGER audit_leaves_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_leaves
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_refuse();
CREATE TRIGGER audit_hashes_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_hashes
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_refuse();
CREATE TRIGGER audit_checkpoints_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_refuse();
CREATE TRIGGER audit_tree_stays BEFORE DELETE OR TRUNCATE ON audit_tree
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_refuse();

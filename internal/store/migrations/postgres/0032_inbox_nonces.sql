-- +goose Up
-- Proofs that requests were signed with, each good once, on whichever node it comes: one that comes again is a replay. A row is needed
-- until the proof is refused by its age anyway. The release before does not know the table, and checks no proofs.
CREATE TABLE inbox_nonces (
    link     TEXT COLLATE "C" NOT NULL,
    nonce    TEXT COLLATE "C" NOT NULL,
    until_at BIGINT NOT NULL,
    PRIMARY KEY (link, nonce)
);
CREATE INDEX inbox_nonces_until ON inbox_nonces (until_at);

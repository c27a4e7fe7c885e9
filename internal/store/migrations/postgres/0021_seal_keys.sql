-- +goose Up
-- Every key that a node ever signed with, by its JWK thumbprint, with the certificates that vouched for it: what was signed is checked
-- by it long after the node has another one. Nothing is removed, and the private keys are elsewhere.
CREATE TABLE seal_keys (
    id         TEXT COLLATE "C" PRIMARY KEY,
    node       TEXT COLLATE "C" NOT NULL,
    chain      BYTEA NOT NULL, -- certificates, DER, leaf first
    made_at    BIGINT NOT NULL,
    retired_at BIGINT NOT NULL DEFAULT 0, -- the node is to make another one
    revoked_at BIGINT NOT NULL DEFAULT 0, -- it vouches for nothing any more
    reason     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX seal_keys_made ON seal_keys (made_at);

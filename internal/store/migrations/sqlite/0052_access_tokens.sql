-- +goose Up
-- Tokens that machines call the API with. Only a hash of each is kept: who reads the table can call nothing. The release before does not
-- know the table, and takes calls of its own machine only.
CREATE TABLE access_tokens (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,             -- the actor; an old and a new token of one machine share it while they overlap
    hash       BLOB NOT NULL,             -- SHA-256
    rights     BLOB NOT NULL,             -- JSON: roles, permissions of its own, links
    made_by    TEXT NOT NULL,
    made_at    BIGINT NOT NULL,           -- microseconds, as all times
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL DEFAULT 0, -- 0: never
    used_on    BIGINT NOT NULL DEFAULT 0  -- the beginning of the last hour in which it was used
);
CREATE INDEX access_tokens_name ON access_tokens (name);

-- +goose Up
-- Accounts of people that the plant keeps itself, and their sessions in the console. The release before knows neither, and lets nobody sign in.
CREATE TABLE access_users (
    name          TEXT NOT NULL PRIMARY KEY,
    password      TEXT NOT NULL,             -- argon2id, with its parameters
    roles         BLOB NOT NULL,             -- JSON
    totp          BLOB NOT NULL,             -- the secret of the one-time codes
    totp_step     BIGINT NOT NULL DEFAULT 0, -- of the last code that was good: it and those before it are not good again
    recovery      BLOB NOT NULL,             -- JSON: SHA-256 of each recovery code that is left
    made_by       TEXT NOT NULL,
    made_at       BIGINT NOT NULL,           -- microseconds, as all times
    password_at   BIGINT NOT NULL,
    disabled_at   BIGINT NOT NULL DEFAULT 0, -- 0: it is not
    signed_out_at BIGINT NOT NULL DEFAULT 0  -- sessions that began before count for nothing
);
CREATE TABLE access_sessions (
    token   TEXT NOT NULL PRIMARY KEY, -- a hash of it
    data    BLOB NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX access_sessions_expires ON access_sessions (expires);

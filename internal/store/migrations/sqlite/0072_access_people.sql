-- +goose Up
-- People who sign in at an identity provider. They are known by issuer and subject, and called by a name that is theirs for good. The
-- release before does not know the table, and lets none of them in.
CREATE TABLE access_people (
    name          TEXT NOT NULL PRIMARY KEY,
    issuer        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    provider      TEXT NOT NULL,             -- in the configuration
    groups        BLOB NOT NULL,             -- JSON: those that count here, as the last token had them
    checked_at    BIGINT NOT NULL,           -- when that token came; microseconds, as all times
    made_at       BIGINT NOT NULL,
    disabled_at   BIGINT NOT NULL DEFAULT 0, -- 0: they are not
    signed_out_at BIGINT NOT NULL DEFAULT 0, -- sessions that began before count for nothing
    UNIQUE (issuer, subject)
);

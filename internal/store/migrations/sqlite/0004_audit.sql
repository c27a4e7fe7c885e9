-- +goose Up
-- The record of every changing act, written in the act's own transaction, and the answers that a repeated act is given again.
-- The record only grows: the database itself refuses to change or remove an entry.
CREATE TABLE audit_entries (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         BIGINT NOT NULL, -- microseconds
    actor      TEXT   NOT NULL,
    origin     TEXT   NOT NULL, -- where the actor called from
    action     TEXT   NOT NULL,
    object     TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    old        BLOB,            -- JSON before the act
    new        BLOB,            -- JSON after it
    outcome    TEXT   NOT NULL
);
CREATE INDEX audit_entries_object ON audit_entries (object, seq);
-- +goose StatementBegin
CREATE TRIGGER audit_entries_keep BEFORE UPDATE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'an audit entry is never changed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_entries_stay BEFORE DELETE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'an audit entry is never removed'); END;
-- +goose StatementEnd

CREATE TABLE access_keys (
    actor   TEXT   NOT NULL,
    key     TEXT   NOT NULL,
    request TEXT   NOT NULL, -- SHA-256 of what was asked
    at      BIGINT NOT NULL, -- microseconds
    result  BLOB,            -- JSON; NULL only inside the act's own transaction
    PRIMARY KEY (actor, key)
);
CREATE INDEX access_keys_at ON access_keys (at);

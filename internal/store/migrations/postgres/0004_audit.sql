-- +goose Up
-- The record of every changing act, written in the act's own transaction, and the answers that a repeated act is given again.
-- The record only grows: the database itself refuses to change or remove an entry.
CREATE TABLE audit_entries (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         BIGINT NOT NULL, -- microseconds
    actor      TEXT   NOT NULL,
    origin     TEXT   NOT NULL, -- where the actor called from
    action     TEXT   NOT NULL,
    object     TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    old        BYTEA,           -- JSON before the act
    new        BYTEA,           -- JSON after it
    outcome    TEXT   NOT NULL
);
CREATE INDEX audit_entries_object ON audit_entries (object, seq);
-- +goose StatementBegin
CREATE FUNCTION audit_entries_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'an audit entry is never changed or removed'; END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_entries_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_refuse();

CREATE TABLE access_keys (
    actor   TEXT   NOT NULL,
    key     TEXT   NOT NULL,
    request TEXT   NOT NULL, -- SHA-256 of what was asked
    at      BIGINT NOT NULL, -- microseconds
    result  BYTEA,           -- JSON; NULL only inside the act's own transaction
    PRIMARY KEY (actor, key)
);
CREATE INDEX access_keys_at ON access_keys (at);

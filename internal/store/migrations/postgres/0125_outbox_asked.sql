-- +goose Up
-- What one person wants done to a message and another has to approve: at most one thing for a message. The body that a correction would give it
-- is in its history (outbox_events), sealed as that is. The release before does not know the table.
CREATE TABLE outbox_asked (
    id         TEXT PRIMARY KEY, -- a digest of all that was asked, the body too
    message    TEXT NOT NULL UNIQUE,
    seq        BIGINT NOT NULL, -- in outbox_events
    act        TEXT NOT NULL, -- amend or discard
    in_doubt   BOOLEAN NOT NULL, -- discard also what the ERP may have
    digest     TEXT NOT NULL, -- of the message when it was asked
    redelivery BIGINT NOT NULL, -- then too
    author     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    asked_at   BIGINT NOT NULL -- microseconds, as all times
);

-- +goose Up
-- Targets of a link whose new documents do not show the message's ID that they were sent with: that a document is not found by it proves nothing. The release
-- before keeps this as long as it runs.
CREATE TABLE outbox_forgetful (
    link   TEXT NOT NULL,
    target TEXT NOT NULL, -- SERVICE/SET
    at     BIGINT NOT NULL, -- since when, microseconds
    PRIMARY KEY (link, target)
);

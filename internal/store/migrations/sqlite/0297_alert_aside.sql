-- +goose Up
-- Notices of alerts that a channel's receiver has refused for good again and again: they are out of the way of those that follow, and are tried now and
-- then. The release before does not know the table: it tells nobody of what is here, and waits at such a notice.
CREATE TABLE alert_aside (
    channel  TEXT NOT NULL,
    id       TEXT NOT NULL,
    notice   BLOB NOT NULL, -- JSON, as a webhook gets it
    why      TEXT NOT NULL,
    aside_at BIGINT NOT NULL, -- microseconds, as all times
    tried_at BIGINT NOT NULL,
    PRIMARY KEY (channel, id)
);

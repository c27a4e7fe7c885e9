-- +goose Up
-- What was told of alerts lately, so that the same is not told again and again, and what is not told for a time since somebody knows of it. Where the
-- rules and the channels have come to in the record stands in siem_cursors. The release before knows neither table, and tells nobody.
CREATE TABLE alert_told (
    channel TEXT NOT NULL, -- "!rules": it was raised by a rule
    name    TEXT NOT NULL,
    object  TEXT NOT NULL,
    told_at BIGINT NOT NULL, -- microseconds, as all times
    besides BIGINT NOT NULL DEFAULT 0, -- as many since, that were not told
    PRIMARY KEY (channel, name, object)
);
CREATE TABLE alert_silences (
    name    TEXT NOT NULL,
    object  TEXT NOT NULL, -- empty: whatever it is about
    until   BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    reason  TEXT NOT NULL,
    PRIMARY KEY (name, object)
);

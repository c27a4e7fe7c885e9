-- +goose Up
-- Points of the console's charts, one a minute, so that they outlive a restart and commands can say for how long the store lasts. The release
-- before neither reads nor writes them.
CREATE TABLE console_points (
    at    BIGINT NOT NULL PRIMARY KEY, -- microseconds, as all times
    point TEXT NOT NULL                -- JSON
);

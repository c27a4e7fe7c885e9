-- +goose Up
-- Each time that this database was restored from a copy, by the epoch in which lanes count since. A lane that is new begins in the last of them:
-- the plant may have had it before the loss, under numbers that a receiver knows. The release before does not know the table: its new lanes begin in
-- epoch 1, as they did.
CREATE TABLE outbox_restores (
    epoch BIGINT NOT NULL PRIMARY KEY
);

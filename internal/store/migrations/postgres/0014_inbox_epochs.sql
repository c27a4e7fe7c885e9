-- +goose Up
-- Where each epoch of a lane ended: the number that was next when its sender began a later one. A message of an ended epoch that is not
-- remembered was applied if its number is below that; else it was never seen, and a person must look at it.

CREATE TABLE inbox_epochs (
    source      TEXT NOT NULL,
    stream      TEXT NOT NULL,
    epoch       BIGINT NOT NULL,
    next_number BIGINT NOT NULL,
    PRIMARY KEY (source, stream, epoch)
);

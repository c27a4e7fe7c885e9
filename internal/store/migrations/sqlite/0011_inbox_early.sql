-- +goose Up
-- Beyond a bound, what comes before its turn is put aside in quarantine, so that one lane which misses a number neither grows without
-- end nor stops the link that feeds it. early counts these, so that a lane knows without looking that there are some. What waits, is
-- held or was put aside has an index of its own: a stream stays for ever, and nobody shall read all of them to find the busy ones.

ALTER TABLE inbox_streams ADD COLUMN early BIGINT NOT NULL DEFAULT 0;
DROP INDEX inbox_streams_waiting;
CREATE INDEX inbox_streams_busy ON inbox_streams (stream, source) WHERE (waiting > 0 OR held > 0 OR early > 0);

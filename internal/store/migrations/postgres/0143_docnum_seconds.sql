-- +goose Up
-- PP-PDC processes time tickets in the order of the second that stands in them, and those of one second in any order: here stands which second
-- each ticket has, so that no two of a lane have one and the same ticket has it at each attempt. The release before does not know the table.
CREATE TABLE docnum_seconds (
    link   TEXT COLLATE "C" NOT NULL,
    key    TEXT COLLATE "C" NOT NULL, -- what is sent, as in docnums, and which of its tickets
    lane   TEXT COLLATE "C" NOT NULL,
    second BIGINT NOT NULL, -- of the plant's clock, as it shows it, since 1970
    PRIMARY KEY (link, key)
);
CREATE INDEX docnum_seconds_lane ON docnum_seconds (link, lane, second);
CREATE INDEX docnum_seconds_second ON docnum_seconds (second);

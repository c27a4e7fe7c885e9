-- +goose Up
-- What people wrote about lanes that stand still for the same reason, for whoever looks next. It belongs to the reason and not to a message, so that
-- it is there when the next one stands still for it. The release before does not know the table.
CREATE TABLE outbox_group_notes (
    link   TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL, -- as groups have it: words with digits are gaps
    at     BIGINT NOT NULL, -- microseconds, as all times
    author TEXT COLLATE "C" NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (link, reason, at, author)
);

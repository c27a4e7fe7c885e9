-- +goose Up
-- SAP answers an IDoc by its number alone, and some time after it came: here stands which message each number carries. The release before
-- does not know the table, and sends no IDocs.
CREATE TABLE docnums (
    link    TEXT COLLATE "C" NOT NULL,
    number  TEXT COLLATE "C" NOT NULL, -- 16 digits
    key     TEXT COLLATE "C" NOT NULL, -- what is sent: the message's ID, or more where it was amended
    message TEXT COLLATE "C" NOT NULL, -- ID
    at      BIGINT NOT NULL, -- microseconds
    PRIMARY KEY (link, number),
    UNIQUE (link, key)
);
CREATE INDEX docnums_at ON docnums (at);

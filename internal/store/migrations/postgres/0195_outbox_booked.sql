-- +goose Up
-- What an ERP books by itself names no message: here stands which item of such a document stands for which message, and for how much of it, so
-- that none stands for two. The release before does not know the table, and may name a document twice, as it always did.
CREATE TABLE outbox_booked (
    link      TEXT COLLATE "C" NOT NULL,
    erp_order TEXT COLLATE "C" NOT NULL, -- the ERP's number, without leading zeros
    item      TEXT COLLATE "C" NOT NULL, -- document, year and item
    message   TEXT COLLATE "C" NOT NULL, -- ID
    quantity  TEXT NOT NULL, -- exact decimal
    at        BIGINT NOT NULL, -- microseconds
    PRIMARY KEY (link, erp_order, item, message)
);
CREATE INDEX outbox_booked_at ON outbox_booked (at);

-- +goose Up
-- Tokens stand for values of which nobody but who is permitted may know, such as personnel numbers: messages, records and logs have the token,
-- this table the value, sealed. A value is found again by lookup, an HMAC under the purpose key named by key. The release before does not
-- know the tables: what it takes in it stores as it comes.
CREATE TABLE tokens (
    token   TEXT NOT NULL PRIMARY KEY,
    class   TEXT NOT NULL, -- what sort of value it is, such as person
    key     BIGINT NOT NULL, -- of token_keys, by which lookup was made
    lookup  BLOB NOT NULL,
    value   BLOB NOT NULL,
    sealed  BIGINT NOT NULL, -- the epoch by which value is sealed, never 0
    made_at BIGINT NOT NULL, -- microseconds, as all times
    UNIQUE (class, lookup)
);

-- The seeds of the purpose keys, sealed; the last is used.
CREATE TABLE token_keys (
    id      INTEGER PRIMARY KEY,
    seed    BLOB NOT NULL,
    sealed  BIGINT NOT NULL,
    made_at BIGINT NOT NULL
);

-- How often somebody has looked up what a token stands for in an hour, counted from 1970.
CREATE TABLE token_looks (
    actor TEXT NOT NULL,
    hour  BIGINT NOT NULL,
    looks BIGINT NOT NULL,
    PRIMARY KEY (actor, hour)
);

-- +goose Up
-- An account for when nobody else can get in: it is sealed, and lets its holder in only while two people have opened it. The release before takes
-- it for any other account: let nobody know its password before every node runs this one.
ALTER TABLE access_users ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0;     -- 1: it is
ALTER TABLE access_users ADD COLUMN open_until BIGINT NOT NULL DEFAULT 0; -- microseconds; of one that is sealed

-- +goose Up
-- People of a directory sign in by its password and, for more than looking on, by a second factor that the plant keeps. Those who have signed
-- in lately are looked up again and again. The release before lets none of them in.
ALTER TABLE access_people ADD COLUMN totp BYTEA NOT NULL DEFAULT '';            -- the secret of the one-time codes; empty: they have none here
ALTER TABLE access_people ADD COLUMN totp_step BIGINT NOT NULL DEFAULT 0;       -- of the last code that was good
ALTER TABLE access_people ADD COLUMN recovery BYTEA NOT NULL DEFAULT '[]';      -- JSON: SHA-256 of each recovery code that is left
ALTER TABLE access_people ADD COLUMN signed_in_at BIGINT NOT NULL DEFAULT 0;    -- by the directory; microseconds

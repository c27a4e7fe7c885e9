-- +goose Up
-- Badges with PINs, by which people whom a provider or a directory knows sign in at terminals of the shop floor. The release before knows none.
CREATE TABLE access_badges (
    owner   TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- oidc:NAME or ad:NAME
    badge   TEXT COLLATE "C" NOT NULL UNIQUE,      -- HMAC-SHA-256 of its number, hexadecimal
    pin     TEXT NOT NULL,             -- argon2id, with its parameters
    set_at  BIGINT NOT NULL,           -- microseconds, as all times
    used_at BIGINT NOT NULL DEFAULT 0
);

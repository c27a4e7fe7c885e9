-- +goose Up
-- Passkeys of the plant's own accounts. The release before knows none: nobody signs in by one at its nodes, and another second factor that it
-- gives somebody leaves their passkeys as they are.
ALTER TABLE access_users ADD COLUMN handle TEXT NOT NULL DEFAULT ''; -- what authenticators call the account: random, hexadecimal; '' until it has a passkey
CREATE TABLE access_passkeys (
    id         TEXT NOT NULL PRIMARY KEY, -- of the credential, base64url
    owner      TEXT NOT NULL,
    label      TEXT NOT NULL,
    credential BLOB NOT NULL,              -- JSON of go-webauthn: the public key and what never changes
    sign_count BIGINT NOT NULL,            -- the highest that was seen
    made_at    BIGINT NOT NULL,            -- microseconds, as all times
    used_at    BIGINT NOT NULL DEFAULT 0,
    suspect_at BIGINT NOT NULL DEFAULT 0   -- when its count went back: there may be two of it, and it lets nobody in any more
);
CREATE INDEX access_passkeys_owner ON access_passkeys (owner);
CREATE INDEX access_users_handle ON access_users (handle);

-- +goose Up
-- A replay that a person has forced is another sending, also once a claim has taken that word back: whoever asks after a crash asks for it, and
-- not for what was sent before. The release before does not look, and asks for whichever was sent last.
ALTER TABLE outbox_messages ADD COLUMN forced BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE outbox_messages SET forced = TRUE WHERE replay = 'force';

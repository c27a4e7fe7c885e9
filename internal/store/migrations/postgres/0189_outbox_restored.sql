-- +goose Up
-- What a restore has brought back may be with the ERP whatever becomes of the messages before it in its lane: the lost plant may have discarded those,
-- and delivered it. Each message says so itself, until it was asked for. The release before asks for what sent_to covers, as it did.
ALTER TABLE outbox_messages ADD COLUMN doubt BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX outbox_messages_doubt ON outbox_messages (link, lane) WHERE doubt;

-- +goose Up
-- Since when a message is in doubt by itself: nobody has sent it from then on, so that an ERP which does not have it after ask_after never gets it from an
-- earlier attempt. 0 is of a node of the release before: its messages wait from the first question on.
ALTER TABLE outbox_messages ADD COLUMN doubt_at BIGINT NOT NULL DEFAULT 0;

-- +goose Up
-- How many requests a second a person allows a link, in the place of what the configuration says; 0 where nobody has said it. The release before
-- does not know the column: its nodes keep to the configuration.
ALTER TABLE outbox_links ADD COLUMN rate BIGINT NOT NULL DEFAULT 0;

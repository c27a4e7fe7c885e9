-- +goose Up
-- What was delivered and has no number yet is looked for in the ERP again and again, each by whichever node comes first: look_at is when it is its
-- turn again, 0 before the first time. Those that were never looked for go first, so that what the ERP never books holds up none of them. The
-- release before does not know the column, and looks for the oldest thousand each time.
ALTER TABLE outbox_delivered ADD COLUMN look_at BIGINT NOT NULL DEFAULT 0; -- microseconds, as all times
DROP INDEX outbox_delivered_unanswered;
CREATE INDEX outbox_delivered_look ON outbox_delivered (link, look_at, settled_at) WHERE document = '' AND role <> 'void';

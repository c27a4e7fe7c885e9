-- +goose Up
-- What a message was before a person amended or voided it keeps its origin signature: the chain goes through the original.
ALTER TABLE outbox_events ADD COLUMN signature BLOB;

-- A node of the release before amends and voids without signing. The signature of what the message was must not stay with what it is: it
-- is taken away, and the next node that has keys signs the message before it leaves.
-- +goose StatementBegin
CREATE TRIGGER outbox_messages_digest AFTER UPDATE OF digest ON outbox_messages
WHEN NEW.digest <> OLD.digest AND NEW.signature IS NOT NULL AND NEW.signature IS OLD.signature
BEGIN
    UPDATE outbox_messages SET signature = NULL WHERE id = NEW.id;
END;
-- +goose StatementEnd

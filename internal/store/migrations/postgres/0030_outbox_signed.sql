-- +goose Up
-- What a message was before a person amended or voided it keeps its origin signature: the chain goes through the original.
ALTER TABLE outbox_events ADD COLUMN signature BYTEA;

-- A node of the release before amends and voids without signing. The signature of what the message was must not stay with what it is: it
-- is taken away, and the next node that has keys signs the message before it leaves.
-- +goose StatementBegin
CREATE FUNCTION outbox_messages_digest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.signature := NULL;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER outbox_messages_digest BEFORE UPDATE OF digest ON outbox_messages FOR EACH ROW
    WHEN (NEW.digest <> OLD.digest AND NEW.signature IS NOT DISTINCT FROM OLD.signature) EXECUTE FUNCTION outbox_messages_digest();

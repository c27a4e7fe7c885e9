-- +goose Up
-- A message that is owed may change whatever else of its lane was delivered a moment ago: a claim turns what has expired into a void, and
-- files nothing before. So a message is refused to the release before only if a receipt says that this very one is settled. A lane is
-- refused as before, if its head is to go back while it has any receipt.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION outbox_not_filed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'outbox_messages' THEN
        IF NOT EXISTS (SELECT 1 FROM outbox_receipts AS r WHERE r.link = NEW.link AND r.lane = NEW.lane AND r.epoch = NEW.epoch
            AND NEW.number BETWEEN r.first_number AND r.last_number) THEN
            RETURN NULL;
        END IF;
    ELSIF NOT EXISTS (SELECT 1 FROM outbox_receipts AS r WHERE r.link = NEW.link AND r.lane = NEW.lane) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'messages of lane % of link % were delivered a moment ago and are not filed yet', NEW.lane, NEW.link
        USING ERRCODE = '40001', HINT = 'if no newer holdfast runs here any more: start it once, and stop it with SIGTERM';
END $$;
-- +goose StatementEnd

-- +goose Up
-- To move a message into outbox_delivered at its settlement costs more than all else that is done for it. Where the answers say nothing
-- of their own, as a broker's confirms do, a settlement now writes one receipt for all the messages of its lane that it settles, and
-- the lane's head moves on; a little later, and in bulk, those messages are moved as before and their receipts deleted.
CREATE TABLE outbox_receipts (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    link         TEXT NOT NULL,
    lane         TEXT NOT NULL,
    epoch        BIGINT NOT NULL,
    first_number BIGINT NOT NULL,
    last_number  BIGINT NOT NULL,
    settled_at   BIGINT NOT NULL,
    sent_with    TEXT NOT NULL,
    doc_kind     TEXT NOT NULL,
    status       BIGINT NOT NULL,
    answered     TEXT NOT NULL
);
CREATE UNIQUE INDEX outbox_receipts_lane ON outbox_receipts (link, lane, epoch, first_number);

-- A node of the release before takes every row of outbox_messages for one that is owed. It claims and settles from the head of a lane, and
-- so does not meet those that are settled; what a person has it do to a lane would. The database refuses that for the moment until they
-- are moved: with the error of a transaction that is to run again.
-- +goose StatementBegin
CREATE FUNCTION outbox_not_filed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM outbox_receipts AS r WHERE r.link = NEW.link AND r.lane = NEW.lane) THEN
        RAISE EXCEPTION 'messages of lane % of link % were delivered a moment ago and are not filed yet', NEW.lane, NEW.link USING ERRCODE = '40001';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER outbox_lanes_not_filed AFTER UPDATE OF head, head_epoch ON outbox_lanes FOR EACH ROW
    WHEN (NEW.head_epoch < OLD.head_epoch OR NEW.head_epoch = OLD.head_epoch AND NEW.head < OLD.head) EXECUTE FUNCTION outbox_not_filed();
CREATE TRIGGER outbox_messages_not_filed AFTER UPDATE OF role, body, not_before ON outbox_messages FOR EACH ROW
    WHEN (NEW.role <> OLD.role OR NEW.digest <> OLD.digest OR NEW.not_before <> OLD.not_before) EXECUTE FUNCTION outbox_not_filed();

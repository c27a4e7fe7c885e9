-- +goose Up
-- The release before takes every row of outbox_messages for one that is owed. A node that is stopped in order has moved away what is
-- settled; one that was killed has not, and the release before would take it back for a person, send it again and count it twice. So it
-- may not, until the newer one was started once more.
-- +goose StatementBegin
CREATE TRIGGER outbox_lanes_not_filed BEFORE UPDATE OF head, head_epoch ON outbox_lanes FOR EACH ROW
    WHEN (NEW.head_epoch < OLD.head_epoch OR NEW.head_epoch = OLD.head_epoch AND NEW.head < OLD.head)
        AND EXISTS (SELECT 1 FROM outbox_receipts AS r WHERE r.link = NEW.link AND r.lane = NEW.lane)
BEGIN
    SELECT RAISE(ABORT, 'messages of this lane were delivered and are not filed yet: start the newer holdfast once, and stop it with SIGTERM');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER outbox_messages_not_filed BEFORE UPDATE OF role, body, not_before ON outbox_messages FOR EACH ROW
    WHEN (NEW.role <> OLD.role OR NEW.digest <> OLD.digest OR NEW.not_before <> OLD.not_before)
        AND EXISTS (SELECT 1 FROM outbox_receipts AS r WHERE r.link = NEW.link AND r.lane = NEW.lane AND r.epoch = NEW.epoch
            AND NEW.number BETWEEN r.first_number AND r.last_number)
BEGIN
    SELECT RAISE(ABORT, 'this message was delivered and is not filed yet: start the newer holdfast once, and stop it with SIGTERM');
END;
-- +goose StatementEnd

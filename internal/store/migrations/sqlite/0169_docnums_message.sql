-- +goose Up
-- A message that a person has replayed by force is another IDoc, with a number of its own: what SAP says late of the earlier one is told from what it says
-- of this one by looking for the later number of the message. The release before does not look, and gives no second number.
CREATE INDEX docnums_message ON docnums (link, message, at);

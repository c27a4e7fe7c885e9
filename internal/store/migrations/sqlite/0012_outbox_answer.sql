-- +goose Up
-- Over a broker, delivered means that the broker has the message. The ERP answers later: its receipt is kept with the delivery, as that
-- of a link which is answered at once. A refusal is kept there too, in the ERP's words, until the message is answered otherwise. The
-- index is small: it holds what a person has to look at.
ALTER TABLE outbox_delivered ADD COLUMN refused TEXT NOT NULL DEFAULT '';
CREATE INDEX outbox_delivered_refused ON outbox_delivered (link, lane) WHERE refused <> '';

-- A refusal parks its lane for what is not sent yet, also while the lane owes nothing: it is shown until it is resumed.
CREATE INDEX outbox_lanes_parked ON outbox_lanes (link, head_at) WHERE state = 'parked';

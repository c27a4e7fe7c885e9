-- +goose Up
-- Lists of what stands still are read in the order in which they are shown, however many there are: lanes in doubt or waiting for a number have an
-- index of their own, as parked ones have. A lane enters and leaves it as it comes to stand and goes on, so an append and a settlement do not pay
-- for it. Nor for the one of those that are shown although they owe nothing. What the ERP has refused after it was delivered is rare, and listed by the time of its append.
CREATE INDEX outbox_lanes_stand ON outbox_lanes (link, state, head_at) WHERE state = 'unknown' OR state = 'waiting';
CREATE INDEX outbox_lanes_idle ON outbox_lanes (link, head_at) WHERE NOT owing AND (paused OR state = 'parked');
CREATE INDEX outbox_delivered_refused_created ON outbox_delivered (created_at, id) WHERE refused <> '';

-- +goose Up
-- When a message expires and by what it is mapped is in no digest, since a receiver is not told of it. Where the plant seals, a seal over nothing holds
-- both: the number of its epoch, eight bytes, and the seal. What was owed before has none, nor what a node of the release before appends, which does
-- not know the column; such a message expires if its signature and its route say so.
ALTER TABLE outbox_messages ADD COLUMN pin BLOB;

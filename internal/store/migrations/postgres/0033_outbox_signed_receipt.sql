-- +goose Up
-- What an ERP has signed when it took a message, a JWS: the only proof of receipt that holds against it later. '' where it signs none. The
-- release before writes none and reads none.
ALTER TABLE outbox_delivered ADD COLUMN signed_receipt TEXT NOT NULL DEFAULT '';

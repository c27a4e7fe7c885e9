-- +goose Up
-- What was delivered and has no number yet is looked for again and again where the ERP says later what it has made of it: it is rare beside what
-- has one, and listed by the time of its append.
CREATE INDEX outbox_delivered_unanswered ON outbox_delivered (created_at, id) WHERE document = '' AND role <> 'void';

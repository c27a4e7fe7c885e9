-- +goose Up
-- The keys by which bodies are sealed at rest, wrapped by the plant's keyring: a new one is used each day, and those of the days to come
-- lie ready, so that a keyring which is away stops nothing. used_at is 0 until one is used; seals is how often it may have been by now.
CREATE TABLE rest_epochs (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    wrapped TEXT   NOT NULL,
    made_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL DEFAULT 0,
    seals   BIGINT NOT NULL DEFAULT 0
);

-- One row once the plant seals: since when, and since when nothing that it owes is unsealed (0: not yet). A release before this one cannot
-- read what is sealed: on PostgreSQL, where its nodes may still run, an existing plant begins by a person's word.
CREATE TABLE rest_state (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    began_at BIGINT NOT NULL,
    whole_at BIGINT NOT NULL DEFAULT 0
);

-- By which epoch a body is sealed; 0: it is as it was given.
ALTER TABLE outbox_messages ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox_delivered ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox_delivered ADD COLUMN answer_sealed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox_events ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE inbox_messages ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE inbox_messages ADD COLUMN original_sealed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE inbox_rejected ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE body_chunks ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0;

-- A secret of the lane's own, sealed: the keys of its bodies are made with it, so that they are gone with it. own_sealed is its epoch, 0
-- where the lane has none; shredded_at is since when the bodies of earlier messages are gone for ever.
ALTER TABLE outbox_lanes ADD COLUMN own BLOB;
ALTER TABLE outbox_lanes ADD COLUMN own_sealed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox_lanes ADD COLUMN shredded_at BIGINT NOT NULL DEFAULT 0;

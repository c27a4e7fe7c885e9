-- +goose Up
-- What the ERPs have told the plant. A message stands here, by (source, id), before its sender hears that it was taken; the row
-- stays as the memory by which the same message is known again. Streams, not messages, are claimed: a stream is what must be
-- applied in order, so that a message which waits or is refused holds nothing but its own stream, and no claim reads history.

CREATE TABLE inbox_messages (
    seq            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source         TEXT NOT NULL,
    id             TEXT NOT NULL,
    kind           TEXT NOT NULL,
    version        BIGINT NOT NULL,
    key            TEXT NOT NULL,
    time           TEXT NOT NULL,
    body           BYTEA NOT NULL,
    original       BYTEA,
    link           TEXT NOT NULL,
    mapping        TEXT NOT NULL,
    stream         TEXT NOT NULL,
    lane           TEXT NOT NULL,
    epoch          BIGINT NOT NULL,
    number         BIGINT NOT NULL,
    prev           TEXT NOT NULL,
    role           TEXT NOT NULL,
    refers         TEXT NOT NULL,
    creates        TEXT NOT NULL,
    cause          TEXT NOT NULL,
    trace          TEXT NOT NULL,
    object_version TEXT NOT NULL,
    digest         TEXT NOT NULL,
    content        TEXT NOT NULL,
    state          TEXT NOT NULL,
    problem        TEXT NOT NULL DEFAULT '',
    reason         TEXT NOT NULL DEFAULT '',
    hint           TEXT NOT NULL DEFAULT '',
    attempts       BIGINT NOT NULL DEFAULT 0,
    received_at    BIGINT NOT NULL,
    settled_at     BIGINT NOT NULL DEFAULT 0,
    UNIQUE (source, id)
);
CREATE UNIQUE INDEX inbox_messages_number ON inbox_messages (source, stream, epoch, number) WHERE number > 0;
CREATE INDEX inbox_messages_ready ON inbox_messages (source, stream, epoch, number, seq) WHERE state = 'ready';
CREATE INDEX inbox_messages_quarantined ON inbox_messages (seq) WHERE state = 'quarantined';
CREATE INDEX inbox_messages_settled ON inbox_messages (settled_at, seq) WHERE settled_at > 0;

-- One row for each stream, for ever: which number is next, or which version of the object was applied last, must outlive the
-- messages. due_at is when there is something to do, 0 for never; held is the message in quarantine that the stream waits for.
CREATE TABLE inbox_streams (
    source      TEXT NOT NULL,
    stream      TEXT NOT NULL,
    lane        TEXT NOT NULL,
    epoch       BIGINT NOT NULL DEFAULT 1,
    next_number BIGINT NOT NULL DEFAULT 1,
    version     TEXT NOT NULL DEFAULT '',
    waiting     BIGINT NOT NULL DEFAULT 0,
    bytes       BIGINT NOT NULL DEFAULT 0,
    due_at      BIGINT NOT NULL DEFAULT 0,
    held        BIGINT NOT NULL DEFAULT 0,
    attempts    BIGINT NOT NULL DEFAULT 0,
    trouble     TEXT NOT NULL DEFAULT '',
    gap_since   BIGINT NOT NULL DEFAULT 0,
    gap_alerted BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (source, stream)
);
CREATE INDEX inbox_streams_due ON inbox_streams (due_at) WHERE due_at > 0 AND held = 0;
CREATE INDEX inbox_streams_gap ON inbox_streams (gap_since) WHERE gap_since > 0;
CREATE INDEX inbox_streams_waiting ON inbox_streams (source, stream) WHERE waiting > 0;

-- Numbers that a person has let pass. One that comes after all goes to quarantine.
CREATE TABLE inbox_skips (
    source     TEXT NOT NULL,
    stream     TEXT NOT NULL,
    epoch      BIGINT NOT NULL,
    number     BIGINT NOT NULL,
    skipped_at BIGINT NOT NULL,
    PRIMARY KEY (source, stream, epoch, number)
);

-- What could not be believed. It takes no (source, id), since anybody can write one.
CREATE TABLE inbox_rejected (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      TEXT NOT NULL,
    id          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    link        TEXT NOT NULL,
    body        BYTEA NOT NULL,
    problem     TEXT NOT NULL,
    reason      TEXT NOT NULL,
    received_at BIGINT NOT NULL
);

-- How far back each source's messages are no longer remembered: the latest time of a message that was forgotten.
CREATE TABLE inbox_horizons (
    source       TEXT PRIMARY KEY,
    before_at    BIGINT NOT NULL,
    forgotten    BIGINT NOT NULL,
    forgotten_at BIGINT NOT NULL
);

-- Where each polled source goes on, and which process polls it until when.
CREATE TABLE inbox_cursors (
    name        TEXT PRIMARY KEY,
    place       TEXT NOT NULL DEFAULT '',
    owner       TEXT NOT NULL DEFAULT '',
    lease_until BIGINT NOT NULL DEFAULT 0,
    polled_at   BIGINT NOT NULL DEFAULT 0,
    trouble     TEXT NOT NULL DEFAULT ''
);

-- +goose Up
-- What the plant owes its ERPs. Lanes are claimed, not messages, so that the cost of a claim depends on the lanes that are due:
-- delivered messages live in a table of their own, and a lane that is empty, parked or waiting is in no index that a claim reads.

-- One row for each link that was ever routed to: whether a person has paused it, and what its breaker last said.
CREATE TABLE outbox_links (
    link       TEXT PRIMARY KEY,
    paused     BOOLEAN NOT NULL DEFAULT FALSE,
    reason     TEXT NOT NULL DEFAULT '',
    breaker    TEXT NOT NULL DEFAULT 'closed',
    trouble    TEXT NOT NULL DEFAULT '',
    changed_at BIGINT NOT NULL DEFAULT 0,
    delivered  BIGINT NOT NULL DEFAULT 0,
    voided     BIGINT NOT NULL DEFAULT 0,
    last_at    BIGINT NOT NULL DEFAULT 0
);

-- One row for each lane, for ever: the next number and the last digest must outlive its messages.
CREATE TABLE outbox_lanes (
    link        TEXT NOT NULL,
    lane        TEXT NOT NULL,
    epoch       BIGINT NOT NULL DEFAULT 1,
    next_number BIGINT NOT NULL DEFAULT 1,
    last_digest TEXT NOT NULL DEFAULT '',
    pending     BIGINT NOT NULL DEFAULT 0,
    head_epoch  BIGINT NOT NULL DEFAULT 1,
    head        BIGINT NOT NULL DEFAULT 1,
    head_at     BIGINT NOT NULL DEFAULT 0,
    priority    BIGINT NOT NULL DEFAULT 0,
    state       TEXT NOT NULL DEFAULT 'open',
    paused      BOOLEAN NOT NULL DEFAULT FALSE,
    scheduled   BOOLEAN NOT NULL DEFAULT FALSE,
    due_at      BIGINT NOT NULL DEFAULT 0,
    sent_to     BIGINT NOT NULL DEFAULT 0,
    lease_owner TEXT NOT NULL DEFAULT '',
    lease_token BIGINT NOT NULL DEFAULT 0,
    awaits      TEXT NOT NULL DEFAULT '',
    reason      TEXT NOT NULL DEFAULT '',
    changed_at  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (link, lane)
);
CREATE INDEX outbox_lanes_due ON outbox_lanes (link, priority, due_at) WHERE pending > 0 AND state = 'open' AND NOT paused;
CREATE INDEX outbox_lanes_pending ON outbox_lanes (link, head_at) WHERE pending > 0;
CREATE INDEX outbox_lanes_awaits ON outbox_lanes (link, awaits) WHERE awaits <> '';
CREATE INDEX outbox_lanes_leased ON outbox_lanes (lease_owner) WHERE lease_owner <> '';

-- Messages that are still owed. redelivery counts the times that a person has asked for a delivered message to be sent again.
CREATE TABLE outbox_messages (
    link       TEXT NOT NULL,
    lane       TEXT NOT NULL,
    epoch      BIGINT NOT NULL,
    number     BIGINT NOT NULL,
    id         TEXT NOT NULL,
    event      TEXT NOT NULL,
    source     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    version    BIGINT NOT NULL,
    key        TEXT NOT NULL,
    time       TEXT NOT NULL,
    body       BLOB NOT NULL,
    creates    TEXT NOT NULL,
    cause      TEXT NOT NULL,
    trace      TEXT NOT NULL,
    mapping    TEXT NOT NULL,
    prev       TEXT NOT NULL,
    role       TEXT NOT NULL,
    refers     TEXT NOT NULL,
    digest     TEXT NOT NULL,
    signature  BLOB,
    created_at BIGINT NOT NULL,
    not_before BIGINT NOT NULL DEFAULT 0,
    expires_at BIGINT NOT NULL DEFAULT 0,
    attempts   BIGINT NOT NULL DEFAULT 0,
    redelivery BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (link, lane, epoch, number)
);
CREATE UNIQUE INDEX outbox_messages_id ON outbox_messages (id);
CREATE INDEX outbox_messages_created ON outbox_messages (created_at, id);

-- Messages that are settled, each delivery with its receipt.
CREATE TABLE outbox_delivered (
    link       TEXT NOT NULL,
    lane       TEXT NOT NULL,
    epoch      BIGINT NOT NULL,
    number     BIGINT NOT NULL,
    id         TEXT NOT NULL,
    event      TEXT NOT NULL,
    source     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    version    BIGINT NOT NULL,
    key        TEXT NOT NULL,
    time       TEXT NOT NULL,
    body       BLOB NOT NULL,
    creates    TEXT NOT NULL,
    cause      TEXT NOT NULL,
    trace      TEXT NOT NULL,
    mapping    TEXT NOT NULL,
    prev       TEXT NOT NULL,
    role       TEXT NOT NULL,
    refers     TEXT NOT NULL,
    digest     TEXT NOT NULL,
    signature  BLOB,
    created_at BIGINT NOT NULL,
    attempts   BIGINT NOT NULL,
    redelivery BIGINT NOT NULL,
    settled_at BIGINT NOT NULL,
    sent_with  TEXT NOT NULL,
    document   TEXT NOT NULL,
    doc_kind   TEXT NOT NULL,
    answer     BLOB,
    status     BIGINT NOT NULL,
    answered   TEXT NOT NULL,
    asked      BOOLEAN NOT NULL,
    PRIMARY KEY (link, lane, epoch, number, redelivery)
);
CREATE INDEX outbox_delivered_id ON outbox_delivered (id);
CREATE INDEX outbox_delivered_created ON outbox_delivered (created_at, id);

-- What happened to a message besides its delivery: attempts that failed, and what it said before a person amended or voided it.
CREATE TABLE outbox_events (
    id         TEXT NOT NULL,
    at         BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    what       TEXT NOT NULL,
    detail     TEXT NOT NULL,
    body       BLOB,
    digest     TEXT NOT NULL DEFAULT '',
    role       TEXT NOT NULL DEFAULT '',
    refers     TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (id, seq)
);

-- Late references: the number that an ERP gave to an object of the plant's own making. An empty number with a row is a lane's
-- question; voided tells that the message which would have created the object will never be sent.
CREATE TABLE outbox_refs (
    link   TEXT NOT NULL,
    object TEXT NOT NULL,
    number TEXT NOT NULL DEFAULT '',
    voided BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (link, object)
);
CREATE INDEX outbox_refs_number ON outbox_refs (link, number) WHERE number <> '';

-- +goose Up
-- What package anomaly has seen of the plant's reports. A sample is one report, or one item of one, with the numbers that were taken from
-- it; those that are learned are the profile: nothing is counted up in place, so that a repetition, a rollback and a second node count
-- nothing twice. The release before does not know the tables: what it takes in is neither judged nor learned.
CREATE TABLE anomaly_samples (
    seq       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event     TEXT COLLATE "C" NOT NULL, -- the plant's event
    item      TEXT COLLATE "C" NOT NULL, -- of a movement; empty for a confirmation
    kind      TEXT COLLATE "C" NOT NULL,
    material  TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    object    TEXT COLLATE "C" NOT NULL, -- the order
    posted_at BIGINT NOT NULL, -- microseconds, as all times
    content   TEXT COLLATE "C" NOT NULL, -- digest of all that it says, to know it again
    made_at   BIGINT NOT NULL,
    learned   BOOLEAN NOT NULL,
    taught    BOOLEAN NOT NULL DEFAULT FALSE, -- by a person who let it go
    doubted   BIGINT NOT NULL DEFAULT 0, -- a bit for each field that was doubted: it is not learned
    vals      BYTEA NOT NULL,   -- 8 bytes each, big-endian IEEE 754; NaN where it says nothing
    UNIQUE (event, item)
);
CREATE INDEX anomaly_samples_operation ON anomaly_samples (kind, material, operation, seq) WHERE learned;
CREATE INDEX anomaly_samples_material ON anomaly_samples (kind, material, seq) WHERE learned;
CREATE INDEX anomaly_samples_kind ON anomaly_samples (kind, seq) WHERE learned;
CREATE INDEX anomaly_samples_object ON anomaly_samples (object, seq);

-- How many samples of a profile were learned and are no longer kept.
CREATE TABLE anomaly_forgotten (
    kind      TEXT COLLATE "C" NOT NULL,
    material  TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    samples   BIGINT NOT NULL,
    PRIMARY KEY (kind, material, operation)
);

-- What was doubted of an event, and what became of the doubt.
CREATE TABLE anomaly_findings (
    event      TEXT COLLATE "C" PRIMARY KEY,
    kind       TEXT COLLATE "C" NOT NULL,
    object     TEXT COLLATE "C" NOT NULL,
    material   TEXT COLLATE "C" NOT NULL,
    operation  TEXT COLLATE "C" NOT NULL,
    found_at   BIGINT NOT NULL,
    held       BOOLEAN NOT NULL,
    doubts     BYTEA NOT NULL,   -- JSON, with the profile that it was judged by
    decided_at BIGINT NOT NULL DEFAULT 0, -- 0: by nobody yet
    decided_by TEXT NOT NULL DEFAULT '',
    reason     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX anomaly_findings_open ON anomaly_findings (found_at) WHERE decided_at = 0;

-- +goose Up
-- Replay jobs: which messages a person wants sent once more, frozen when that was looked at, and how far it is. A job is not bound to a
-- process: each step of it locks its row, hands some messages back to the outbox and says so here, in one transaction, so that whichever
-- node comes next goes on where the last one stopped. Times are microseconds.
CREATE TABLE replay_jobs (
    id          TEXT PRIMARY KEY,
    state       TEXT NOT NULL,              -- planned, approval, running, paused, done, cancelled
    created_at  BIGINT NOT NULL,
    created_by  TEXT NOT NULL,
    reason      TEXT NOT NULL DEFAULT '',
    choice      TEXT NOT NULL,              -- what was asked for, as JSON
    force       BOOLEAN NOT NULL DEFAULT FALSE,
    rate        BIGINT NOT NULL,            -- messages a second
    canary      BIGINT NOT NULL,            -- so many go first; 0: none, or they have passed
    go_on       BOOLEAN NOT NULL DEFAULT FALSE, -- after the canary without a look
    tolerance   BIGINT NOT NULL,            -- it pauses when more than so many have failed
    total       BIGINT NOT NULL,
    released    BIGINT NOT NULL DEFAULT 0,
    delivered   BIGINT NOT NULL DEFAULT 0,
    had         BIGINT NOT NULL DEFAULT 0,
    failed      BIGINT NOT NULL DEFAULT 0,
    skipped     BIGINT NOT NULL DEFAULT 0,
    approved_by TEXT NOT NULL DEFAULT '',
    approved_at BIGINT NOT NULL DEFAULT 0,
    started_by  TEXT NOT NULL DEFAULT '',
    started_at  BIGINT NOT NULL DEFAULT 0,
    ended_at    BIGINT NOT NULL DEFAULT 0,
    next_at     BIGINT NOT NULL DEFAULT 0,  -- when the next message may go, as the rate says
    why         TEXT NOT NULL DEFAULT ''    -- it is paused
);
CREATE INDEX replay_jobs_created ON replay_jobs (created_at, id);
CREATE INDEX replay_jobs_live ON replay_jobs (id) WHERE (state = 'running' OR released > 0);

CREATE TABLE replay_items (
    job        TEXT NOT NULL,
    seq        BIGINT NOT NULL,             -- the order in which they go
    link       TEXT NOT NULL,
    lane       TEXT NOT NULL,
    epoch      BIGINT NOT NULL,
    number     BIGINT NOT NULL,
    id         TEXT NOT NULL,
    kind       TEXT NOT NULL,
    digest     TEXT NOT NULL,               -- a message that was changed since is not sent
    redelivery BIGINT NOT NULL,
    stuck      BOOLEAN NOT NULL,            -- its lane stood still at it; else it was delivered
    state      TEXT NOT NULL,               -- waiting, released, delivered, had, failed, skipped, cancelled
    why        TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (job, seq)
);
CREATE INDEX replay_items_open ON replay_items (job, state, seq) WHERE state IN ('waiting', 'released', 'failed');

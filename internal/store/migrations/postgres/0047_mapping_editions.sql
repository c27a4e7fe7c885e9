-- +goose Up
-- What a plant maps by is kept beside its messages: all files of its folder of mappings as one edition, named by the hash of their names
-- and texts. So every node maps by the same one, whoever approved it is known, and an earlier one can be gone back to. Until one was
-- published each node takes its own folder, as the release before does.
CREATE TABLE mapping_editions (
    hash  TEXT   PRIMARY KEY, -- SHA-256
    files BYTEA  NOT NULL,    -- zip
    at    BIGINT NOT NULL     -- microseconds
);

-- What was done with editions, in order.
CREATE TABLE mapping_steps (
    seq      BIGINT PRIMARY KEY, -- the revision of mapping_state that it made
    step     TEXT   NOT NULL,    -- folder, publish, propose, approve, rollback, try, end
    edition  TEXT   NOT NULL,
    previous TEXT   NOT NULL,    -- the edition in its place before; '' for none
    author   TEXT   NOT NULL,    -- who published or proposed the edition
    approver TEXT   NOT NULL,    -- who approved it; '' for nobody
    actor    TEXT   NOT NULL,
    reason   TEXT   NOT NULL,
    at       BIGINT NOT NULL
);

-- One row: the steps that count now, 0 for none.
CREATE TABLE mapping_state (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL,
    used     BIGINT NOT NULL, -- by which edition messages are mapped
    tried    BIGINT NOT NULL, -- which one maps them too, and has nothing sent
    proposed BIGINT NOT NULL  -- which one waits for a second person
);
INSERT INTO mapping_state (id, revision, used, tried, proposed) VALUES (1, 0, 0, 0, 0);

-- What each node maps by, and why it did not take what it should.
CREATE TABLE mapping_nodes (
    node    TEXT   PRIMARY KEY,
    used    TEXT   NOT NULL,
    tried   TEXT   NOT NULL,
    trouble TEXT   NOT NULL,
    at      BIGINT NOT NULL
);

-- How many messages the tried edition has mapped too, and where its documents are others. No value of a message stands here.
CREATE TABLE mapping_trials (
    edition  TEXT   NOT NULL,
    mapping  TEXT   NOT NULL,
    mapped   BIGINT NOT NULL,
    differed BIGINT NOT NULL,
    PRIMARY KEY (edition, mapping)
);
CREATE TABLE mapping_trial_messages (
    edition TEXT   NOT NULL,
    mapping TEXT   NOT NULL,
    message TEXT   NOT NULL,
    kind    TEXT   NOT NULL,
    link    TEXT   NOT NULL,
    places  TEXT   NOT NULL, -- a line for each
    at      BIGINT NOT NULL,
    PRIMARY KEY (edition, mapping, message)
);

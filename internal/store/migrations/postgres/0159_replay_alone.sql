-- +goose Up
-- What one person has had sent once more without anybody's approval, so that many small replays do not go where a large one may not. It is kept
-- for as long as it counts. The release before does not count, and is served by the tables as they are.
CREATE TABLE replay_alone (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       BIGINT NOT NULL, -- microseconds
    actor    TEXT   NOT NULL,
    messages BIGINT NOT NULL
);
CREATE INDEX replay_alone_at ON replay_alone (at);

-- One row, which is locked while somebody is counted: two replays at once do not both find the room that is there for one.
CREATE TABLE replay_turn (
    id    BIGINT PRIMARY KEY CHECK (id = 1),
    turns BIGINT NOT NULL
);
INSERT INTO replay_turn (id, turns) VALUES (1, 0);

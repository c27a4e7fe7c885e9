-- +goose Up
-- How often a message was tried that its transport has delivered too often, and of which nothing was heard afterwards. The release before does not
-- know the table: it puts such a message aside at once.
CREATE TABLE inbox_tries (
    message  TEXT COLLATE "C" PRIMARY KEY, -- a digest of link, source and ID
    tries    BIGINT NOT NULL,
    tried_at BIGINT NOT NULL -- microseconds, as all times
);

-- +goose Up
-- Up to which number of a lane settled messages were deleted because they were old (outbox.keep). Without it nobody could tell a message that
-- was purged from one that somebody has removed. A purge by a node of the release before is not noted: until all nodes are new, and for
-- what they have purged, a lane may be told to lack messages that it may lack.
CREATE TABLE outbox_purged (
    link   TEXT NOT NULL,
    lane   TEXT NOT NULL,
    epoch  BIGINT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (link, lane, epoch)
);
INSERT INTO outbox_purged (link, lane, epoch, number)
SELECT link, lane, epoch, MIN(number) - 1 FROM (SELECT link, lane, epoch, number FROM outbox_messages
    UNION ALL SELECT link, lane, epoch, number FROM outbox_delivered) AS m
GROUP BY link, lane, epoch HAVING MIN(number) > 1;
INSERT INTO outbox_purged (link, lane, epoch, number)
SELECT link, lane, epoch, next_number - 1 FROM outbox_lanes AS l WHERE next_number > 1
    AND NOT EXISTS (SELECT 1 FROM outbox_messages AS m WHERE m.link = l.link AND m.lane = l.lane)
    AND NOT EXISTS (SELECT 1 FROM outbox_delivered AS d WHERE d.link = l.link AND d.lane = l.lane);

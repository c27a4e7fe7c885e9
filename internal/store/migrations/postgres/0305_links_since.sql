-- +goose Up
-- A link that has never turned had no time since when it is up: it is since its first settlement, as far as that is kept. The release before reads and
-- writes the column as it did.
UPDATE outbox_links SET changed_at = COALESCE((SELECT settled_at FROM outbox_delivered AS d WHERE d.link = outbox_links.link ORDER BY settled_at LIMIT 1), last_at)
WHERE changed_at = 0 AND last_at > 0;

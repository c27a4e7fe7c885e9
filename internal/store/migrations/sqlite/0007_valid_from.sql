-- +goose Up
-- A bill of material and a routing are valid from a day on. Each day's version is kept, so that an order gets the one of its planned
-- start; before, the version of next month replaced that of today as soon as it came. Other master data have '' here.
CREATE TABLE plant_master_versions (
    kind        TEXT NOT NULL,
    number      TEXT NOT NULL,
    valid_from  TEXT NOT NULL DEFAULT '',
    erp_version TEXT NOT NULL,
    changed_at  BIGINT NOT NULL,
    body        BLOB NOT NULL,
    PRIMARY KEY (kind, number, valid_from)
);
INSERT INTO plant_master_versions (kind, number, valid_from, erp_version, changed_at, body)
SELECT kind, number, CASE WHEN kind IN ('bom', 'routing') THEN COALESCE(json_extract(CAST(body AS TEXT), '$.validFrom'), '') ELSE '' END,
       erp_version, changed_at, body
FROM plant_master;
DROP TABLE plant_master;
ALTER TABLE plant_master_versions RENAME TO plant_master;

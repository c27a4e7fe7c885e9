-- +goose Up
-- A bill of material and a routing are valid from a day on. Each day's version is kept, so that an order gets the one of its planned
-- start; before, the version of next month replaced that of today as soon as it came. Other master data have '' here.
ALTER TABLE plant_master ADD COLUMN valid_from TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE plant_master SET valid_from = COALESCE(convert_from(body, 'UTF8')::json ->> 'validFrom', '') WHERE kind IN ('bom', 'routing');
ALTER TABLE plant_master DROP CONSTRAINT plant_master_pkey;
ALTER TABLE plant_master ADD PRIMARY KEY (kind, number, valid_from);

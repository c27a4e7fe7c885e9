-- +goose Up
-- The orders and lots for which the ERP has sent a number that does not fit. A person must look at them; to find them by their notes
-- alone would be to read every order and lot.
CREATE TABLE plant_number_conflicts (
    sort TEXT NOT NULL, -- order or lot
    id   TEXT NOT NULL, -- the plant's ID of it
    PRIMARY KEY (sort, id)
);
INSERT INTO plant_number_conflicts (sort, id) SELECT 'order', id FROM plant_orders WHERE CAST(body AS TEXT) LIKE '%"code":"number-conflict"%';
INSERT INTO plant_number_conflicts (sort, id) SELECT 'lot', id FROM plant_lots WHERE CAST(body AS TEXT) LIKE '%"code":"number-conflict"%';

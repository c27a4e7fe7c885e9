-- +goose Up
-- The plant (package mes). Each object is one document, written whole by one transaction that has read it, beside the columns that
-- it is found, listed and kept unique by. A confirmation of an order of fifty components so costs one row, not fifty, and a field
-- more needs no migration. Quantities are decimals in text inside the documents: neither database rounds them.

-- Every act that carries an ID, so that the same ID takes effect once and never means something else.
CREATE TABLE plant_commands (
    id          TEXT COLLATE "C" PRIMARY KEY,
    kind        TEXT COLLATE "C" NOT NULL,
    digest      TEXT COLLATE "C" NOT NULL, -- SHA-256 of the act
    recorded_at BIGINT NOT NULL
);

-- Number ranges. The row is locked until the transaction ends, so that a number that was not used is not missed.
CREATE TABLE plant_counters (
    name TEXT COLLATE "C" PRIMARY KEY,
    last BIGINT NOT NULL
);

CREATE TABLE plant_orders (
    id           TEXT COLLATE "C" PRIMARY KEY,
    number       TEXT COLLATE "C" NOT NULL,
    plant_number TEXT COLLATE "C" NOT NULL,
    erp_number   TEXT COLLATE "C" NOT NULL, -- '' while unknown
    material     TEXT COLLATE "C" NOT NULL,
    status       TEXT COLLATE "C" NOT NULL,
    urgency      BIGINT NOT NULL, -- 9 minus the priority: the most urgent sorts first
    start_at     BIGINT NOT NULL, -- planned start
    version      BIGINT NOT NULL,
    body         BYTEA NOT NULL
);
CREATE UNIQUE INDEX plant_orders_erp_number ON plant_orders (erp_number) WHERE erp_number <> '';
CREATE UNIQUE INDEX plant_orders_plant_number ON plant_orders (plant_number) WHERE plant_number <> '';
CREATE INDEX plant_orders_urgent ON plant_orders (urgency, start_at, id);
CREATE INDEX plant_orders_status ON plant_orders (status, urgency, start_at, id);
CREATE INDEX plant_orders_material ON plant_orders (material, urgency, start_at, id);

CREATE TABLE plant_order_work_centres (
    order_id    TEXT COLLATE "C" NOT NULL REFERENCES plant_orders (id) ON DELETE CASCADE,
    work_centre TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (work_centre, order_id)
);
CREATE INDEX plant_order_work_centres_order ON plant_order_work_centres (order_id);

CREATE TABLE plant_confirmations (
    id          TEXT COLLATE "C" PRIMARY KEY,
    order_id    TEXT COLLATE "C" NOT NULL REFERENCES plant_orders (id),
    operation   TEXT COLLATE "C" NOT NULL,
    reversed_by TEXT COLLATE "C" NOT NULL, -- '' while it counts
    recorded_at BIGINT NOT NULL,
    body        BYTEA NOT NULL
);
CREATE INDEX plant_confirmations_order ON plant_confirmations (order_id, recorded_at, id);
CREATE INDEX plant_confirmations_recorded ON plant_confirmations (recorded_at, id);

CREATE TABLE plant_movements (
    id          TEXT COLLATE "C" PRIMARY KEY,
    order_id    TEXT COLLATE "C" REFERENCES plant_orders (id), -- NULL for free stock
    type        TEXT COLLATE "C" NOT NULL,
    reversed_by TEXT COLLATE "C" NOT NULL, -- '' while it counts
    recorded_at BIGINT NOT NULL,
    body        BYTEA NOT NULL
);
CREATE INDEX plant_movements_order ON plant_movements (order_id, recorded_at, id);
CREATE INDEX plant_movements_recorded ON plant_movements (recorded_at, id);

-- Which movement touched which lot: what is asked when a lot turns out to be bad.
CREATE TABLE plant_movement_lots (
    material    TEXT COLLATE "C" NOT NULL,
    batch       TEXT COLLATE "C" NOT NULL, -- '' for what has no lots
    movement_id TEXT COLLATE "C" NOT NULL REFERENCES plant_movements (id),
    PRIMARY KEY (material, batch, movement_id)
);

-- The sum of the plant's own movements; negative where the ERP brought in what the plant took.
CREATE TABLE plant_stock (
    material TEXT COLLATE "C" NOT NULL,
    batch    TEXT COLLATE "C" NOT NULL,
    unit     TEXT COLLATE "C" NOT NULL,
    quantity TEXT NOT NULL,
    PRIMARY KEY (material, batch, unit)
);

CREATE TABLE plant_lots (
    id          TEXT COLLATE "C" PRIMARY KEY,
    material    TEXT COLLATE "C" NOT NULL,
    number      TEXT COLLATE "C" NOT NULL,
    order_id    TEXT COLLATE "C" REFERENCES plant_orders (id), -- NULL for a lot that no order makes
    status      TEXT COLLATE "C" NOT NULL,
    recorded_at BIGINT NOT NULL,
    body        BYTEA NOT NULL
);
CREATE UNIQUE INDEX plant_lots_number ON plant_lots (material, number);
CREATE INDEX plant_lots_order ON plant_lots (order_id, recorded_at, id);
CREATE INDEX plant_lots_recorded ON plant_lots (recorded_at, id);

CREATE TABLE plant_inspections (
    id          TEXT COLLATE "C" PRIMARY KEY,
    order_id    TEXT COLLATE "C" REFERENCES plant_orders (id), -- NULL for a lot that no order makes
    lot_id      TEXT COLLATE "C" REFERENCES plant_lots (id),   -- NULL for a result in process
    recorded_at BIGINT NOT NULL,
    body        BYTEA NOT NULL
);
CREATE INDEX plant_inspections_order ON plant_inspections (order_id, recorded_at, id);
CREATE INDEX plant_inspections_lot ON plant_inspections (lot_id, recorded_at, id);
CREATE INDEX plant_inspections_recorded ON plant_inspections (recorded_at, id);

-- The plant's copy of the ERP's master data, by kind: material, unit, workcentre, bom, routing. number is the object's own, for a
-- bill of material and a routing that of the material they are for.
CREATE TABLE plant_master (
    kind        TEXT COLLATE "C" NOT NULL,
    number      TEXT COLLATE "C" NOT NULL,
    erp_version TEXT COLLATE "C" NOT NULL,
    changed_at  BIGINT NOT NULL,
    body        BYTEA NOT NULL,
    PRIMARY KEY (kind, number)
);

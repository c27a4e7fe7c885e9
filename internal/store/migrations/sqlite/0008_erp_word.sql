-- +goose Up
-- What the ERP said last of an order's plan, so that only what it changes is taken over: before, a message that repeated the ERP's
-- dates or priority took back what the plant had changed. NULL for orders of the time before: then all that the ERP says counts.
ALTER TABLE plant_orders ADD COLUMN erp_word BLOB;

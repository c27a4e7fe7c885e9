-- +goose Up
-- What was taken back is not what was merely never learned: it is no report that another repeats or precedes, and its pieces were not made. Of what is
-- there already nobody knows which it is; it stays out of all that, as before. The release before marks nothing, and looks at what was learned alone.
ALTER TABLE anomaly_samples ADD COLUMN reversed BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE anomaly_samples SET reversed = TRUE WHERE NOT learned AND doubted = 0;

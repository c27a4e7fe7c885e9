-- +goose Up
-- Each entry gets a MAC when it is written, under a key of the plant's keyring over the entry, its number and the MAC of the entry before
-- it in its chain. Entries that are written at the same time are in chains of their own, so that none waits for another; a chain is one row.
ALTER TABLE audit_entries
    ADD COLUMN chain    BIGINT NOT NULL DEFAULT 0, -- 0: written before entries had MACs
    ADD COLUMN link     BIGINT NOT NULL DEFAULT 0, -- its place in the chain, from 1
    ADD COLUMN previous BYTEA,                     -- MAC of the entry before
    ADD COLUMN mac      BYTEA,
    ADD COLUMN epoch    BIGINT NOT NULL DEFAULT 0; -- whose key made the MAC
CREATE UNIQUE INDEX audit_entries_chain ON audit_entries (chain, link) WHERE chain > 0;

CREATE TABLE audit_chains (
    id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    length BIGINT NOT NULL,
    mac    BYTEA  NOT NULL -- of its last entry
);

-- What a process without the plant's keys had to tell, as a restore on a machine of its own: the next node repeats it, and says that nobody vouches for it.
CREATE TABLE audit_notes (
    id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    told BYTEA NOT NULL -- JSON
);

-- Whether the first node that has keys begins with them. Where a node of the release before may still write, a person says when: keys reseal.
ALTER TABLE audit_tree ADD COLUMN macs BIGINT NOT NULL DEFAULT 0;
UPDATE audit_tree SET macs = 1 WHERE NOT EXISTS (SELECT 1 FROM audit_entries);

-- A release before would go on without MACs, and nobody could tell its entries from those that somebody put in: it is refused its act instead.
-- +goose StatementBegin
CREATE FUNCTION audit_entries_mac() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM audit_chains) THEN
        RAISE EXCEPTION 'audit entries have MACs: this release of Holdfast makes none, start the newer one';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_entries_mac BEFORE INSERT ON audit_entries FOR EACH ROW WHEN (NEW.chain = 0) EXECUTE FUNCTION audit_entries_mac();

-- +goose Up
-- An act may have to be signed by a person, with what they mean by it: the signature stands in the entry of the act. The release before reads such an
-- entry without its signature and takes it for altered: have nothing signed before every node runs this one.
ALTER TABLE audit_entries ADD COLUMN signature BYTEA; -- JSON; NULL: nobody signed

-- +goose Up
-- A batch is numbered by who sends it (BATMAS), and SAP's confirmation of the IDoc does not repeat the number: what an IDoc itself calls its
-- document is kept beside the message. The release before leaves it empty, and calls such a document by the IDoc's number.
ALTER TABLE docnums ADD COLUMN document TEXT NOT NULL DEFAULT '';

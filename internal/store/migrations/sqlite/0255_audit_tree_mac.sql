-- +goose Up
-- What this row says (how far the tree has grown, who builds it and until when, up to when lanes are held, and what is begun) bears a MAC under a key of
-- the plant's keyring once audit entries do, so that whoever can write the database alone changes none of it unseen: the number of the key's epoch, eight
-- bytes, and the MAC. The release before writes the row without, and the next pass of a node of this one with it.
ALTER TABLE audit_tree ADD COLUMN mac BLOB;

-- +goose Up
-- keeps the folder from being empty until the first table lands
SELECT 1;

-- Who is to be forgotten, and afterwards that they were: nothing else of them is left, and nobody gets their id.
CREATE TABLE erasure (id TEXT PRIMARY KEY, person_id TEXT NOT NULL UNIQUE, asked_by TEXT NOT NULL, asked_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL, shut BIGINT NOT NULL, take_back BYTEA UNIQUE, begun_ms BIGINT, done_ms BIGINT);
-- What services have said of it.
CREATE TABLE erasure_part (erasure_id TEXT NOT NULL, service TEXT NOT NULL, forgot_ms BIGINT, row_count BIGINT,
    PRIMARY KEY (erasure_id, service));
-- A copy of what there is of somebody, and what each service has given for it; nothing sealed when it gave none.
CREATE TABLE export (id TEXT PRIMARY KEY, person_id TEXT NOT NULL, asked_ms BIGINT NOT NULL, ends_ms BIGINT NOT NULL);
CREATE INDEX export_of ON export (person_id, id);
CREATE TABLE export_part (export_id TEXT NOT NULL, service TEXT NOT NULL, given_ms BIGINT, sealed BYTEA,
    PRIMARY KEY (export_id, service));

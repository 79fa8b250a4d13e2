CREATE TABLE person (id TEXT PRIMARY KEY, handle TEXT NOT NULL, skeleton TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    roles TEXT NOT NULL, operator BIGINT NOT NULL, disabled BIGINT NOT NULL, at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL);
CREATE INDEX person_operator ON person (id) WHERE operator = 1;
CREATE TABLE guard (id BIGINT PRIMARY KEY, turn BIGINT NOT NULL);
INSERT INTO guard (id, turn) VALUES (1, 0);

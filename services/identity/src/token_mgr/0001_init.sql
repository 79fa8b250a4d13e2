CREATE TABLE signing_key (kid TEXT PRIMARY KEY, sealed BYTEA NOT NULL, public TEXT NOT NULL,
    signs_from_ms BIGINT NOT NULL);
CREATE TABLE family (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, person_id TEXT NOT NULL, person TEXT NOT NULL,
    generation BIGINT NOT NULL, rotated_ms BIGINT NOT NULL, since BIGINT NOT NULL, since_ms BIGINT NOT NULL,
    ends_ms BIGINT NOT NULL);
CREATE INDEX family_of ON family (person_id);
CREATE INDEX family_in ON family (session_id);
CREATE TABLE api_key (id TEXT PRIMARY KEY, person_id TEXT NOT NULL, name TEXT NOT NULL, roles TEXT NOT NULL,
    hash BYTEA NOT NULL UNIQUE, shut BIGINT NOT NULL, at_ms BIGINT NOT NULL, ends_ms BIGINT, used_ms BIGINT);
CREATE INDEX api_key_of ON api_key (person_id, id);

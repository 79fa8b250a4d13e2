CREATE TABLE passkey (id TEXT PRIMARY KEY, person_id TEXT NOT NULL, credential_id BYTEA NOT NULL UNIQUE, credential TEXT NOT NULL,
    counter BIGINT NOT NULL, name TEXT NOT NULL, synced BIGINT NOT NULL, at_ms BIGINT NOT NULL, used_ms BIGINT);
CREATE INDEX passkey_person ON passkey (person_id, id);
CREATE TABLE passkey_registration (person_id TEXT PRIMARY KEY, session_id TEXT NOT NULL, password TEXT NOT NULL, state TEXT NOT NULL,
    ends_ms BIGINT NOT NULL);
CREATE TABLE passkey_login (hash BYTEA PRIMARY KEY, network TEXT NOT NULL, state TEXT NOT NULL, ends_ms BIGINT NOT NULL);
CREATE INDEX passkey_login_from ON passkey_login (network);

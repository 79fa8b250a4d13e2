CREATE TABLE client (id TEXT PRIMARY KEY, name TEXT NOT NULL, secret BYTEA, about TEXT NOT NULL, at_ms BIGINT NOT NULL);
CREATE TABLE consent (person_id TEXT NOT NULL, client_id TEXT NOT NULL, scope TEXT NOT NULL, at_ms BIGINT NOT NULL,
    PRIMARY KEY (person_id, client_id));
CREATE TABLE pushed (hash BYTEA PRIMARY KEY, client_id TEXT NOT NULL, query TEXT NOT NULL, ends_ms BIGINT NOT NULL);
CREATE INDEX pushed_by ON pushed (client_id);
CREATE TABLE code (hash BYTEA PRIMARY KEY, client_id TEXT NOT NULL, person_id TEXT NOT NULL, session_id TEXT NOT NULL,
    scope TEXT NOT NULL, nonce TEXT, auth_s BIGINT NOT NULL, redirect_uri TEXT NOT NULL, challenge TEXT NOT NULL,
    used_ms BIGINT NOT NULL, burnt BIGINT NOT NULL, made TEXT, ends_ms BIGINT NOT NULL);
CREATE TABLE device (hash BYTEA PRIMARY KEY, user_code TEXT NOT NULL UNIQUE, client_id TEXT NOT NULL, scope TEXT NOT NULL,
    state TEXT NOT NULL, person_id TEXT, session_id TEXT, auth_s BIGINT, pause_s BIGINT NOT NULL, polled_ms BIGINT NOT NULL,
    ends_ms BIGINT NOT NULL);
CREATE INDEX device_of ON device (client_id);
CREATE TABLE app_session (session_id TEXT PRIMARY KEY, parent TEXT NOT NULL, client_id TEXT NOT NULL, person_id TEXT NOT NULL,
    offline BIGINT NOT NULL, auth_s BIGINT NOT NULL, issuer TEXT NOT NULL, at_ms BIGINT NOT NULL);
CREATE INDEX app_session_under ON app_session (parent);
CREATE INDEX app_session_with ON app_session (client_id);
CREATE INDEX app_session_of ON app_session (person_id, client_id);
CREATE TABLE guess (person_id TEXT PRIMARY KEY, count BIGINT NOT NULL, since_ms BIGINT NOT NULL);

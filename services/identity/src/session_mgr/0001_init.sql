CREATE TABLE session (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, device TEXT NOT NULL, network TEXT NOT NULL,
    method TEXT NOT NULL, at_ms BIGINT NOT NULL, seen_ms BIGINT NOT NULL, ends_ms BIGINT NOT NULL);
CREATE INDEX session_of ON session (user_id, id);
CREATE TABLE watcher (user_id TEXT PRIMARY KEY, turn BIGINT NOT NULL);
CREATE TABLE lease (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, session_id TEXT, stream TEXT NOT NULL,
    at_ms BIGINT NOT NULL, ends_ms BIGINT NOT NULL);
CREATE INDEX lease_of ON lease (user_id, id);
CREATE INDEX lease_end ON lease (ends_ms);

-- What every service has beside its own tables.

-- Answers to requests that bore an Idempotency-Key.
CREATE TABLE chassis_once (
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status BIGINT NOT NULL,
    headers TEXT NOT NULL,
    body BYTEA NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX chassis_once_age ON chassis_once (at_ms);

-- The number and the place of the last event about each subject.
CREATE TABLE chassis_subject (subject TEXT PRIMARY KEY, last BIGINT NOT NULL, place BIGINT NOT NULL);

-- Events that were committed and are to be handed on.
CREATE TABLE chassis_outbox (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    number BIGINT NOT NULL,
    place BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX chassis_outbox_place ON chassis_outbox (place);

-- Events that were handed to us. state: 0 waiting, 1 done, 2 dead
CREATE TABLE chassis_inbox (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    subject TEXT NOT NULL,
    number BIGINT NOT NULL,
    body TEXT NOT NULL,
    state BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    error TEXT,
    PRIMARY KEY (source, id)
);
CREATE INDEX chassis_inbox_waiting ON chassis_inbox (state, due_ms);
CREATE INDEX chassis_inbox_order ON chassis_inbox (source, subject, number);

-- Work to be done later. state: 0 waiting, 1 done, 2 dead
CREATE TABLE chassis_job (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    unique_key TEXT UNIQUE,
    state BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    progress BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    error TEXT
);
CREATE INDEX chassis_job_due ON chassis_job (state, due_ms);

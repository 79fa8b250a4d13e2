CREATE TABLE schedule (
    id TEXT PRIMARY KEY,
    cron TEXT NOT NULL,
    zone TEXT NOT NULL,
    service TEXT NOT NULL,
    path TEXT NOT NULL,
    body TEXT NOT NULL,
    missed TEXT NOT NULL,
    paused BIGINT NOT NULL,
    next_at BIGINT,
    version BIGINT NOT NULL
);

CREATE TABLE run (
    id TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    by_hand BIGINT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    error TEXT,
    ended_at BIGINT
);
-- Whatever happens, a time of a schedule has one run.
CREATE UNIQUE INDEX run_once ON run (schedule, due_at) WHERE by_hand = 0;
CREATE INDEX run_history ON run (schedule, id);

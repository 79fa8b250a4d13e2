CREATE TABLE project (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    kept_days BIGINT NOT NULL,
    events_hour_max BIGINT NOT NULL,
    version BIGINT NOT NULL
);
-- What Nexus COS says of itself.
INSERT INTO project (id, name, kept_days, events_hour_max, version) VALUES (1, 'Nexus COS', 90, 1000, 1);

CREATE TABLE dsn_key (key TEXT PRIMARY KEY, project BIGINT NOT NULL, label TEXT NOT NULL);
CREATE INDEX dsn_key_project ON dsn_key (project);

CREATE TABLE issue (
    id TEXT PRIMARY KEY,
    project BIGINT NOT NULL,
    hash TEXT NOT NULL,
    title TEXT NOT NULL,
    culprit TEXT NOT NULL,
    kind TEXT NOT NULL,
    level TEXT NOT NULL,
    state TEXT NOT NULL,
    resolved_in TEXT,
    regressed_at BIGINT,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    first_release TEXT,
    last_release TEXT,
    events BIGINT NOT NULL,
    -- Time of the last event and id: what lists are ordered by.
    rank TEXT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (project, hash)
);
CREATE INDEX issue_rank ON issue (rank);

CREATE TABLE event (
    id TEXT PRIMARY KEY,
    event_id TEXT NOT NULL,
    project BIGINT NOT NULL,
    issue TEXT NOT NULL,
    at BIGINT NOT NULL,
    title TEXT NOT NULL,
    level TEXT NOT NULL,
    release TEXT,
    environment TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (project, event_id)
);
CREATE INDEX event_issue ON event (issue, id);
CREATE INDEX event_age ON event (project, at);

CREATE TABLE release (
    project BIGINT NOT NULL,
    version TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    PRIMARY KEY (project, version)
);

-- Events of an hour, of an issue and of the whole project (issue = '').
CREATE TABLE tally (
    project BIGINT NOT NULL,
    issue TEXT NOT NULL,
    hour BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (project, issue, hour)
);

CREATE TABLE monitor (
    project BIGINT NOT NULL,
    slug TEXT NOT NULL,
    plan TEXT NOT NULL,
    state TEXT NOT NULL,
    last_at BIGINT,
    next_at BIGINT,
    PRIMARY KEY (project, slug)
);

CREATE TABLE check_in (
    id TEXT PRIMARY KEY,
    check_in_id TEXT NOT NULL,
    project BIGINT NOT NULL,
    slug TEXT NOT NULL,
    state TEXT NOT NULL,
    at BIGINT NOT NULL,
    duration_ms BIGINT,
    environment TEXT NOT NULL
);
CREATE INDEX check_in_monitor ON check_in (project, slug, id);
CREATE INDEX check_in_age ON check_in (at);

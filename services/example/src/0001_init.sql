CREATE TABLE note (
    id TEXT PRIMARY KEY,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    remind_at BIGINT,
    reminded BIGINT NOT NULL,
    version BIGINT NOT NULL
);

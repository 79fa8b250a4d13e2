-- Who is to be told, beside the tables of a service.
CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    kinds TEXT NOT NULL,
    secret TEXT NOT NULL,
    old_secret TEXT,
    -- Until when signatures with the old secret are sent too.
    old_until BIGINT,
    -- 0 after the other side has said that it is gone.
    active BIGINT NOT NULL,
    version BIGINT NOT NULL
);

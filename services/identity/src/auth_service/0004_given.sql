-- What was made of passwords that a directory gives, until it is told whose they are.
CREATE TABLE given_password (ticket TEXT PRIMARY KEY, hash TEXT NOT NULL, ends_ms BIGINT NOT NULL);

CREATE TABLE transit_key (name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, derived BIGINT NOT NULL,
    exportable BIGINT NOT NULL, deletable BIGINT NOT NULL, latest BIGINT NOT NULL, min_available BIGINT NOT NULL,
    min_decryption BIGINT NOT NULL, min_encryption BIGINT NOT NULL);
CREATE TABLE key_version (key_id TEXT NOT NULL, version BIGINT NOT NULL, sealed BYTEA NOT NULL, public BYTEA NOT NULL,
    at_ms BIGINT NOT NULL, PRIMARY KEY (key_id, version));
CREATE TABLE media_asset (asset TEXT PRIMARY KEY, periods BIGINT NOT NULL, shredded BIGINT NOT NULL);
CREATE TABLE media_key (asset TEXT NOT NULL, period BIGINT NOT NULL, id TEXT NOT NULL, sealed BYTEA NOT NULL,
    PRIMARY KEY (asset, period));
CREATE TABLE root (nth BIGINT PRIMARY KEY, id TEXT NOT NULL, key TEXT NOT NULL, wrapped TEXT NOT NULL, at_ms BIGINT NOT NULL);

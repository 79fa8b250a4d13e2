//! Files of tables.

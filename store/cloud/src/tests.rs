//! Against storage that lies.

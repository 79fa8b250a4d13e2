//! Sheets and their index.

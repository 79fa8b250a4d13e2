//! Titles out of files that we make, and files that others made.

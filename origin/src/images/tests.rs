//! Pictures from a worker that is good, and from those that are not.

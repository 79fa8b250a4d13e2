//! The rules and their checkers.

//! tus as its specification has it.

//! Assets under a clock of the test.

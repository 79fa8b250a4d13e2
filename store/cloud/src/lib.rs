//! Object storage for the store: S3 and its like, Azure, or a folder, spoken to by `object_store`.
//!
//! The store's threads block here; a small runtime of its own does the waiting, so that nothing else is held up. What is
//! uploaded is compared afterwards: by the entity tag where that is the MD5 that S3 makes of an object, else by reading
//! it back.

mod objects;
mod open;

pub use objects::Cloud;
pub use open::{OpenError, Settings};

#[cfg(test)]
mod tests;

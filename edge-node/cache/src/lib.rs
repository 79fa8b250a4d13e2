//! What an HTTP cache decides, without sockets, files or clocks: time comes in as an argument.
//!
//! [`judge`] says whether a response may be kept and for how long, [`Key`] under which name, [`Fill`] carries an
//! object from one writer to many readers while it is fetched, [`Health`] says whether an origin is to be asked.

mod control;
mod fill;
mod health;
mod key;
mod life;
mod next;
mod object;
mod rendezvous;

pub use control::{Terms, Verdict, judge};
pub use fill::{Bounds, Budget, Failure, Fill, Reader, Room};
pub use health::Health;
pub use key::{Coding, Key, Query, is_plain};
pub use life::{Life, Standing};
pub use next::{by_number, relative};
pub use object::{Head, Object, Source, tags};
pub use rendezvous::order;

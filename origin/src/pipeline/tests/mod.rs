//! No fault of an input ends a viewer's playback: broken publishers, and players that watch what becomes of them.

mod corpus;
mod long;
mod made;
mod player;
mod playlist;
mod rig;
mod script;
mod soak;
mod stills;
mod tracks;
mod twins;

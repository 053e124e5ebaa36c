//! The media nodes: who there is, how full they are, and asking them.

mod ask;
mod life;
mod registry;
mod sound;
mod unheard;

pub(crate) use registry::Nodes;
pub(crate) use sound::play_source;

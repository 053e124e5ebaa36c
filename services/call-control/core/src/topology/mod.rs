//! Who hears whom: a pure function of the fold, and the steps that make it so.
//!
//! A call is the set of those who were answered in it. One alone hears nothing, two are bridged, three and more are
//! mixed; when two remain, they are bridged again. Whoever holds, is held or is put aside hears nothing of that, or the
//! music. Every operation changes that set or those marks by facts and then calls [`Shard::arrange`]; none of them
//! speaks to media by itself. After a restart the same function tells what media should have been asked.

mod hearing;
mod parties;

pub(crate) use hearing::{Meanwhile, music_of};

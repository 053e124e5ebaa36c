//! Datagram sockets and readiness for the media threads.
//!
//! One connected socket per leg on epoll is the cheapest way to carry RTP between many peers: the IP stack is nearly all
//! of the cost, and a connected socket saves the route look-up of each packet. What std already does well (bind, send,
//! receive) is std's; this crate adds what it lacks: port pairs, taking a connection back, buffer sizes, an epoll that
//! waits until an absolute deadline, a wake-up from another thread, pinning and real-time scheduling.
//!
//! Nothing here allocates after construction, and nothing blocks except [`Poller::wait`].

mod affinity;
mod poller;
mod realtime;
mod socket;
mod wake;

pub use affinity::{allowed_cpus, pin_current_thread};
pub use poller::{Poller, Readiness};
pub use realtime::{REALTIME_PRIORITIES, set_current_thread_realtime};
pub use socket::{Answering, Datagram, bind_pair, bind_pair_anywhere};
pub use wake::Wake;

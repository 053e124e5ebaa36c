//! Datagram sockets and readiness for the media threads.

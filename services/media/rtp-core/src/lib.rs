//! RTP and RTCP without sockets: packets, jitter buffer, telephone events, sender and receiver reports.

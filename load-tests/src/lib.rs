//! Generated SIP and RTP traffic with pass lines, heard by ear.

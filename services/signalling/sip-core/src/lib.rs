//! SIP and SDP without sockets: messages, transactions, dialogs, registrations and digest authentication.

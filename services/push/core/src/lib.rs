//! Wake-ups without sockets: targets, deduplication, retry, deadlines and the ledger.

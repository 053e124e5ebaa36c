//! Calls as one pure state machine per shard: signals and commands in, facts and effects out.

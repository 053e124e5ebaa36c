//! Call control: owns the shards, writes the log, speaks to signalling, media and push, and answers the API.

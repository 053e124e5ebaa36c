//! Every instrument and label in one place, the log set-up, and the redaction of numbers and addresses.

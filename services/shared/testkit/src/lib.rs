//! What tests are made of: a scripted SIP phone, tones and their detection, a seeded network emulator, an allocation guard.

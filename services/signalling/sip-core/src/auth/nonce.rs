//! Nonces that carry their own proof, and the counts that phones have used with them (RFC 7616 section 5.4).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sidetone_model::time::Timestamp;

use crate::tokens::Tokens;

/// Makes and checks nonces: 6 bytes of time, 6 random bytes, 12 bytes of HMAC-SHA-256 over them and the realm. They are
/// short because a challenge should not be larger than the request that it answers.
#[derive(Debug)]
pub(super) struct Nonces {
    key: hmac::Key,
    lifetime: Duration,
}

impl Nonces {
    pub(super) fn new(secret: &[u8; 32], lifetime: Duration) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), lifetime }
    }

    pub(super) fn make(&self, realm: &str, tokens: &mut Tokens, now: Timestamp) -> String {
        let mut raw = [0u8; NONCE_BYTES];
        raw[..6].copy_from_slice(&now.as_millis().to_be_bytes()[2..]);
        raw[6..HEAD_BYTES].copy_from_slice(&tokens.bytes::<6>());
        let tag = self.tag(&raw[..HEAD_BYTES], realm);
        raw[HEAD_BYTES..].copy_from_slice(&tag.as_ref()[..NONCE_BYTES - HEAD_BYTES]);
        URL_SAFE_NO_PAD.encode(raw)
    }

    /// When the nonce was made; none when it is not ours, of another realm, too old, or from the future.
    pub(super) fn check(&self, nonce: &str, realm: &str, now: Timestamp) -> Option<Timestamp> {
        let raw = URL_SAFE_NO_PAD.decode(nonce).ok().filter(|raw| raw.len() == NONCE_BYTES)?;
        let (head, proof) = raw.split_at(HEAD_BYTES);
        let tag = self.tag(head, realm);
        aws_lc_rs::constant_time::verify_slices_are_equal(&tag.as_ref()[..proof.len()], proof).ok()?;
        let millis = head[..6].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let made_at = Timestamp::from_millis(millis);
        let fresh = made_at >= self.oldest(now) && made_at <= now + CLOCK_SKEW_MAX;
        fresh.then_some(made_at)
    }

    /// Nonces made before it are stale.
    pub(super) fn oldest(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_millis(now.as_millis().saturating_sub(self.lifetime.as_millis() as u64))
    }

    fn tag(&self, head: &[u8], realm: &str) -> hmac::Tag {
        hmac::sign(&self.key, &[head, realm.as_bytes()].concat())
    }
}

/// The counts used with each nonce, as a window that lets datagrams overtake each other.
#[derive(Debug)]
pub(super) struct NonceTable {
    nonces_max: usize,
    used: HashMap<Box<str>, Window>,
    by_age: BTreeMap<(Timestamp, Box<str>), ()>,
    /// Nonces not younger than this are not taken unless they are in the table: their counts may have been forgotten.
    forgotten_until: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Window {
    highest: u32,
    /// Bit `i`: the count `highest - i` was used.
    seen: u64,
}

impl NonceTable {
    pub(super) fn new(nonces_max: usize) -> Self {
        Self {
            nonces_max: nonces_max.max(1),
            used: HashMap::new(),
            by_age: BTreeMap::new(),
            forgotten_until: None,
        }
    }

    /// Uses up one count; false when it was used before or nobody can tell any more. Entries made before `oldest`
    /// are dropped on the way.
    pub(super) fn take(&mut self, nonce: &str, made_at: Timestamp, count: u32, oldest: Timestamp) -> bool {
        while self.by_age.first_key_value().is_some_and(|((at, _), ())| *at < oldest) {
            self.drop_oldest();
        }
        if let Some(window) = self.used.get_mut(nonce) {
            return window.take(count);
        }
        if self.forgotten_until.is_some_and(|until| made_at <= until) {
            return false;
        }
        if self.used.len() >= self.nonces_max {
            self.forgotten_until = self.drop_oldest().max(self.forgotten_until);
            if self.forgotten_until.is_some_and(|until| made_at <= until) {
                return false;
            }
        }
        let mut window = Window::default();
        let taken = window.take(count);
        self.used.insert(nonce.into(), window);
        self.by_age.insert((made_at, nonce.into()), ());
        taken
    }

    fn drop_oldest(&mut self) -> Option<Timestamp> {
        let ((at, nonce), ()) = self.by_age.pop_first()?;
        self.used.remove(&nonce);
        Some(at)
    }
}

impl Window {
    fn take(&mut self, count: u32) -> bool {
        if count == 0 {
            return false;
        }
        if count > self.highest {
            let shift = count - self.highest;
            self.seen = if shift >= u64::BITS { 0 } else { self.seen << shift };
            self.seen |= 1;
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        if behind >= u64::BITS || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

const NONCE_BYTES: usize = 24;
const HEAD_BYTES: usize = 12;
/// By how much the clocks of two replicas may differ.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(30);

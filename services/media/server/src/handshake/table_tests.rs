use sidetone_ice_core::Credentials;
use sidetone_ice_core::stun::{Builder, Class, attribute};
use sidetone_model::media::Fingerprint;
use sidetone_rtp_core::srtp::OVERHEAD_MAX;

use super::*;

/// Two nodes, each with one leg, and a network between them on a virtual clock.
struct Two {
    now: Instant,
    sides: [Table; 2],
    keys: [Option<Box<Rekeying>>; 2],
    failed: [Option<Failure>; 2],
    proved: [Pairs; 2],
    /// Packets sent so far, and which of them get lost.
    sent: usize,
    lost: fn(usize) -> bool,
}

const LEG: u128 = 7;

fn at(side: usize) -> SocketAddr {
    ["192.0.2.1:1000", "192.0.2.2:2000"][side].parse().unwrap()
}

fn agreed(role: Role, fingerprint: &Fingerprint) -> Agreed {
    Agreed { role, theirs: vec![fingerprint.clone()] }
}

impl Two {
    /// The first side begins.
    fn meet(lost: fn(usize) -> bool) -> Self {
        Self::meet_as(lost, |_| {})
    }

    fn meet_as(lost: fn(usize) -> bool, change: impl Fn(&mut [Agreed; 2])) -> Self {
        let now = Instant::now();
        let identities = [Identity::new().unwrap(), Identity::new().unwrap()];
        let mut agreements = [
            agreed(Role::Client, &identities[1].fingerprint),
            agreed(Role::Server, &identities[0].fingerprint),
        ];
        change(&mut agreements);
        let sides = identities.map(|identity| Table::new(identity, now));
        let mut two = Self {
            now,
            sides,
            keys: [None, None],
            failed: [None; 2],
            proved: [Pairs::default(); 2],
            sent: 0,
            lost,
        };
        for (side, dtls) in agreements.into_iter().enumerate() {
            let wanted = Wanted { ice: None, dtls: Some(dtls), remote: Some(at(1 - side)) };
            two.sides[side].set(LEG, wanted, now);
        }
        two
    }

    /// Goes on until both sides have keys or have failed, or nothing happens for a minute.
    fn run(&mut self) {
        let end = self.now + Duration::from_secs(60);
        while self.now < end && !(0..2).all(|side| self.keys[side].is_some() || self.failed[side].is_some()) {
            self.exchange();
            let next = self.sides.iter().filter_map(Table::due).min();
            let Some(next) = next else { return };
            self.now = self.now.max(next);
            for side in &mut self.sides {
                side.handle_timeouts(self.now);
            }
        }
    }

    fn exchange(&mut self) {
        loop {
            let mut quiet = true;
            for side in 0..2 {
                for news in self.sides[side].take_news() {
                    quiet = false;
                    self.take(side, news);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn take(&mut self, side: usize, news: News) {
        match news {
            News::Send { leg, to, bytes } => {
                assert_eq!((leg, to), (LEG, at(1 - side)));
                self.sent += 1;
                if !(self.lost)(self.sent) {
                    self.sides[1 - side].handle_packet(LEG, at(side), &bytes, self.now);
                }
            }
            News::Keyed { rekeying, .. } => {
                assert!(self.keys[side].replace(rekeying).is_none(), "keys twice")
            }
            News::Failed { failure, .. } => self.failed[side] = Some(failure),
            News::Proved { pairs, .. } => self.proved[side] = pairs,
            News::Heard(_) => {}
        }
    }

    /// What each side seals the other opens.
    fn assert_keys_fit(&mut self) {
        assert_eq!(self.failed, [None; 2]);
        for side in 0..2 {
            let mut packet = [0x55; 172 + OVERHEAD_MAX];
            packet[..12].copy_from_slice(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9]);
            let sender = self.keys[side].as_mut().unwrap().sender.as_mut().unwrap();
            let length = sender.protect_rtp(&mut packet, 172).unwrap();
            let receiver = self.keys[1 - side].as_mut().unwrap().receiver.as_mut().unwrap();
            assert_eq!(receiver.open_rtp(&mut packet[..length]), Ok(172));
        }
    }
}

#[test]
fn two_sides_come_to_the_same_keys() {
    let mut two = Two::meet(|_| false);
    two.run();
    two.assert_keys_fit();
}

#[test]
fn what_gets_lost_is_repeated() {
    for lost in [
        (|n| n == 1) as fn(usize) -> bool,
        |n| n == 2 || n == 3,
        |n| n % 3 == 0,
        |n| n == 5,
        |n| (6..9).contains(&n),
    ] {
        let mut two = Two::meet(lost);
        two.run();
        two.assert_keys_fit();
    }
}

#[test]
fn another_certificate_than_the_described_one_ends_it() {
    for wrong in 0..2 {
        let stranger = Identity::new().unwrap().fingerprint;
        let mut two = Two::meet_as(|_| false, |agreed| agreed[wrong].theirs = vec![stranger.clone()]);
        two.run();
        assert_eq!(two.failed[wrong], Some(Failure::Fingerprint));
        assert!(two.keys[wrong].is_none());
    }
}

#[test]
fn who_never_answers_is_given_up() {
    let mut two = Two::meet(|_| true);
    two.run();
    assert_eq!(two.failed, [Some(Failure::TimedOut), None], "who only waits has nothing to give up");
    assert!(two.sent > 3, "{} packets", two.sent);
}

#[test]
fn junk_in_the_name_of_the_far_side_ends_nothing() {
    let mut two = Two::meet(|_| false);
    let mut hello = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40];
    hello.extend([1, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 28]);
    hello.extend([0xff; 28]);
    for n in 0..40u8 {
        two.sides[1].handle_packet(LEG, at(0), &[22, n, n, n, n, n], two.now);
        two.sides[1].handle_packet(LEG, at(0), &[20 + n, 254, 253, 0, 0], two.now);
    }
    two.sides[1].handle_packet(LEG, at(0), &hello, two.now);
    two.sides[1].handle_packet(99, at(0), &hello, two.now);
    two.sides[1].take_news();
    two.run();
    two.assert_keys_fit();
    // And afterwards nothing takes the keys away.
    for bytes in [&hello[..], &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40], &[22; 60]] {
        two.sides[1].handle_packet(LEG, at(0), bytes, two.now);
    }
    two.exchange();
    assert_eq!(two.failed, [None; 2]);
}

fn check(name: &str, pwd: &str, nominates: bool) -> Vec<u8> {
    let check = Builder::new(Class::Request, [3; 12]).attribute(attribute::USERNAME, name.as_bytes());
    let check = if nominates { check.attribute(attribute::USE_CANDIDATE, &[]) } else { check };
    check.seal(pwd.as_bytes())
}

#[test]
fn with_ice_a_handshake_waits_for_a_checked_address() {
    const PWD: &str = "0123456789012345678901";
    let now = Instant::now();
    let identity = Identity::new().unwrap();
    let stranger = identity.fingerprint.clone();
    for role in [Role::Client, Role::Server] {
        let mut table = Table::new(identity.clone(), now);
        let ice = WantedIce { local: Credentials::new("ours", PWD), remote_ufrag: Some("them".into()) };
        let wanted = Wanted { ice: Some(ice), dtls: Some(agreed(role, &stranger)), remote: Some(at(0)) };
        table.set(LEG, wanted, now);
        assert!(table.take_news().is_empty(), "{role:?}: nobody is proved");
        table.handle_packet(LEG, at(1), &check("ours:them", "another password 01234", true), now);
        assert!(matches!(table.take_news()[..], [News::Heard(Outcome::NotAuthentic)]));
        table.handle_packet(LEG, at(1), &check("ours:them", PWD, true), now);
        let news = table.take_news();
        let sent: Vec<_> = news
            .iter()
            .filter_map(|news| match news {
                News::Send { to, bytes, .. } => Some((*to, bytes[0])),
                _ => None,
            })
            .collect();
        let hello = (at(1), 22);
        let expected = if role == Role::Client { vec![(at(1), 1), hello] } else { vec![(at(1), 1)] };
        assert_eq!(sent, expected, "{role:?}");
        let told = |news: &News| matches!(news, News::Proved { pairs, .. } if pairs.selected == Some(at(1)));
        assert_eq!(news.iter().filter(|news| told(news)).count(), 1);
        // The worker is told again only now and then.
        for (ms, times) in [(20, 0), (4_999, 0), (5_000, 1), (5_001, 0)] {
            table.handle_packet(LEG, at(1), &check("ours:them", PWD, false), now + Duration::from_millis(ms));
            assert_eq!(table.take_news().iter().filter(|news| told(news)).count(), times, "{ms}");
        }
        table.forget(LEG);
        assert_eq!(table.due(), None);
    }
}

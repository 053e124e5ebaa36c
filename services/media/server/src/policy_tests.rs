use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn nat() -> Policy {
    let mut policy = Policy::new(Mode::Nat { signalling_ip: Some(at("127.0.0.5:1").ip()) });
    policy.describe(at("10.0.0.1:4000"));
    policy
}

#[test]
fn strict_takes_the_described_address_and_no_other() {
    let mut policy = Policy::new(Mode::Strict);
    assert_eq!(policy.judge(at("10.0.0.1:4000"), 1, 1, 0), Verdict::Refused);
    policy.describe(at("10.0.0.1:4000"));
    assert_eq!(policy.judge(at("10.0.0.1:4002"), 1, 1, 0), Verdict::Refused);
    assert_eq!(policy.judge(at("10.0.0.1:4000"), 1, 1, 0), Verdict::Locked);
    assert_eq!(policy.judge(at("10.0.0.1:4002"), 1, 2, 9000), Verdict::Refused);
}

#[test]
fn who_is_proved_may_be_anywhere_and_moves_at_once() {
    let mut policy = Policy { proved: true, ..nat() };
    assert_eq!(policy.judge(at("172.16.0.1:9"), 1, 100, 0), Verdict::Locked);
    assert_eq!(policy.judge(at("172.16.9.9:10"), 1, 101, 20), Verdict::Locked);
    assert_eq!(policy.judge(at("172.16.0.1:9"), 1, 99, 21), Verdict::Accepted, "late, from where it was");
    assert_eq!(policy.target(), Some(at("172.16.9.9:10")));
    let mut policy = Policy::new(Mode::Secured);
    policy.describe(at("10.0.0.1:4000"));
    assert_eq!(policy.judge(at("10.0.0.1:4000"), 1, 1, 0), Verdict::Refused, "without a key nobody is");
    let mut strict = Policy { proved: true, ..Policy::new(Mode::Strict) };
    strict.describe(at("10.0.0.1:4000"));
    assert_eq!(strict.judge(at("10.0.0.2:4000"), 1, 1, 0), Verdict::Refused);
}

#[test]
fn before_the_lock_only_two_ips_may_make_it() {
    let mut policy = nat();
    assert_eq!(policy.judge(at("127.0.0.2:9"), 1, 1, 0), Verdict::Refused);
    assert_eq!(policy.target(), Some(at("10.0.0.1:4000")));
    assert_eq!(policy.judge(at("127.0.0.5:777"), 1, 1, 0), Verdict::Locked);
    assert_eq!(policy.target(), Some(at("127.0.0.5:777")));
    assert_eq!(policy.judge(at("10.0.0.1:4000"), 1, 2, 5000), Verdict::Refused);
}

#[test]
fn a_phone_moves_to_another_port_only_after_silence_and_with_its_own_stream() {
    let mut policy = nat();
    policy.judge(at("127.0.0.5:777"), 1, 65_530, 0);
    assert_eq!(policy.judge(at("127.0.0.5:778"), 1, 65_531, 1999), Verdict::Refused);
    assert_eq!(policy.judge(at("127.0.0.5:778"), 2, 65_531, 2000), Verdict::Refused, "another stream");
    assert_eq!(policy.judge(at("127.0.0.5:778"), 1, 60_000, 2000), Verdict::Refused, "not continuing");
    assert_eq!(policy.judge(at("127.0.0.6:778"), 1, 65_531, 2000), Verdict::Refused, "another IP");
    assert_eq!(policy.judge(at("127.0.0.5:778"), 1, 90, 2000), Verdict::Locked);
    assert_eq!(policy.judge(at("127.0.0.5:777"), 1, 91, 2000), Verdict::Refused);
}

#[test]
fn a_new_description_opens_the_lock_and_hold_stops_the_sending() {
    let mut policy = nat();
    policy.judge(at("127.0.0.5:777"), 1, 1, 0);
    policy.describe(at("10.0.0.1:4000"));
    assert!(policy.lock.is_some(), "the same description changes nothing");
    policy.describe(at("0.0.0.0:4000"));
    assert_eq!(policy.target(), None);
    policy.describe(at("10.0.0.1:5000"));
    assert_eq!(policy.judge(at("10.0.0.1:6000"), 9, 9, 1), Verdict::Locked);
    assert!(policy.allows_rtcp(at("10.0.0.1:1").ip()) && !policy.allows_rtcp(at("127.0.0.5:1").ip()));
}

/// A pair that ICE has proved; `Lite` makes them of real checks.
fn pairs(proved: &[&str]) -> Pairs {
    use sidetone_ice_core::stun::{Builder, Class, attribute};
    use sidetone_ice_core::{Credentials, Lite};
    let mut lite = Lite::new(Credentials::new("ours", "0123456789012345678901"));
    for address in proved {
        let check = Builder::new(Class::Request, [0; 12])
            .attribute(attribute::USERNAME, b"ours:them")
            .attribute(attribute::USE_CANDIDATE, &[])
            .seal(b"0123456789012345678901");
        lite.handle(&check, at(address), 0);
    }
    lite.pairs()
}

#[test]
fn with_ice_only_a_checked_address_is_heard_and_sent_to_and_it_may_move() {
    let mut policy = nat();
    policy.expect(true, true);
    policy.describe(at("0.0.0.0:9"));
    assert_eq!(policy.target(), None, "nobody has proved anything");
    // Neither the described nor the signalling IP counts, nor having the key.
    policy.proved = true;
    for from in ["10.0.0.1:4000", "127.0.0.5:777"] {
        assert_eq!(policy.judge(at(from), 1, 1, 0), Verdict::Refused);
    }
    policy.prove(pairs(&["192.0.2.1:1", "192.0.2.2:2"]), 100);
    assert_eq!(policy.target(), Some(at("192.0.2.2:2")), "what was nominated last");
    assert_eq!(policy.judge(at("192.0.2.1:1"), 1, 1, 100), Verdict::Locked);
    assert_eq!(policy.judge(at("192.0.2.2:2"), 1, 2, 120), Verdict::Locked);
    assert_eq!(policy.judge(at("192.0.2.3:2"), 1, 3, 140), Verdict::Refused);
    assert!(policy.allows_rtcp(at("192.0.2.1:9").ip()) && !policy.allows_rtcp(at("10.0.0.1:9").ip()));
    policy.describe(at("10.0.0.1:0"));
    assert_eq!(policy.target(), None, "refused");
}

#[test]
fn who_proves_nothing_for_long_is_sent_nothing_any_more() {
    let mut policy = Policy { proved: true, ..nat() };
    policy.expect(true, true);
    policy.prove(pairs(&["192.0.2.1:1"]), 0);
    assert!(!policy.consent_has_ended(CONSENT_MS));
    assert_eq!(policy.judge(at("192.0.2.1:1"), 1, 1, CONSENT_MS), Verdict::Locked);
    assert!(!policy.consent_has_ended(CONSENT_MS + 1), "who speaks wants to be answered");
    assert!(policy.consent_has_ended(2 * CONSENT_MS + 1));
    assert_eq!(policy.target(), None);
    assert!(!policy.consent_has_ended(2 * CONSENT_MS + 2), "told once");
    policy.prove(pairs(&["192.0.2.1:1"]), 2 * CONSENT_MS + 3);
    assert_eq!(policy.target(), Some(at("192.0.2.1:1")));
}

#[test]
fn a_handshake_without_ice_may_come_from_where_packets_may() {
    let mut policy = nat();
    assert!(!policy.allows_handshake(at("10.0.0.1:4000")), "none is expected");
    policy.expect(false, true);
    policy.proved = true;
    assert!(policy.allows_handshake(at("10.0.0.1:9")) && policy.allows_handshake(at("127.0.0.5:1")));
    assert!(!policy.allows_handshake(at("192.0.2.1:4000")));
    policy.judge(at("192.0.2.1:4000"), 1, 1, 0);
    assert!(policy.allows_handshake(at("192.0.2.1:4000")), "it has the key");
}

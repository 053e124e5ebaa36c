use super::*;
use sidetone_model::media::{Direction, Holder};

fn plain() -> MediaDescription {
    MediaDescription {
        holder: Holder::Node,
        rtp: "192.0.2.1:4000".parse().unwrap(),
        rtcp: None,
        rtcp_mux: true,
        formats: Vec::new(),
        direction: Direction::SendRecv,
        ptime_ms: 20,
        secured: false,
        crypto: Vec::new(),
        dtls: None,
        ice: None,
        wants_voip_metrics: false,
    }
}

fn browser(setup: Setup, ufrag: &str) -> MediaDescription {
    let fingerprint = Fingerprint { hash: "sha-256".into(), value: [7; 32].into() };
    MediaDescription {
        secured: true,
        dtls: Some(Box::new(Dtls { fingerprints: vec![fingerprint], setup })),
        ice: Some(Box::new(Ice { ufrag: ufrag.into(), pwd: "0123456789012345678901".into(), lite: false })),
        ..plain()
    }
}

fn own() -> Fingerprint {
    Fingerprint { hash: "sha-256".into(), value: [9; 32].into() }
}

fn terms(fingerprint: &Fingerprint) -> Terms<'_> {
    Terms { fingerprint, srtp: Srtp::Optional, ice: config::Ice::Lite }
}

#[test]
fn an_offer_of_a_browser_is_answered_and_what_stands_is_kept() {
    let own = own();
    let mut proof = Proof::default();
    let mut first = plain();
    assert_eq!(proof.answer(&mut first, &browser(Setup::Actpass, "them"), &terms(&own)), Ok(true));
    assert_eq!(first.dtls.as_ref().unwrap().setup, Setup::Passive);
    let ice = first.ice.clone().unwrap();
    assert!(ice.lite && ice.ufrag.len() == 8 && ice.pwd.len() == 24 && first.secured);
    let before = proof.wanted();
    let mut again = plain();
    proof.answer(&mut again, &browser(Setup::Actpass, "them"), &terms(&own)).unwrap();
    assert_eq!((&again, proof.wanted()), (&first, before), "nothing has changed");
    let mut restarted = plain();
    proof.answer(&mut restarted, &browser(Setup::Actpass, "they"), &terms(&own)).unwrap();
    assert_ne!(restarted.ice.unwrap().ufrag, ice.ufrag, "a restart is answered by one");
    assert!(!format!("{proof:?}").contains(&*ice.pwd), "a password is shown");
}

#[test]
fn who_begins_is_as_the_offer_says() {
    let own = own();
    for (setup, role, said) in [
        (Setup::Active, Role::Server, Setup::Passive),
        (Setup::Passive, Role::Client, Setup::Active),
        (Setup::Actpass, Role::Server, Setup::Passive),
    ] {
        let (mut proof, mut answer) = (Proof::default(), plain());
        proof.answer(&mut answer, &browser(setup, "them"), &terms(&own)).unwrap();
        assert_eq!(answer.dtls.unwrap().setup, said);
        assert_eq!(proof.wanted().unwrap().dtls.unwrap().role, role);
    }
}

#[test]
fn what_is_off_or_cannot_be_spoken_is_not_taken() {
    let own = own();
    let offer = browser(Setup::Actpass, "them");
    let taken = |remote: &MediaDescription, terms: &Terms<'_>| {
        let (mut proof, mut answer) = (Proof::default(), plain());
        let dtls = proof.answer(&mut answer, remote, terms).unwrap();
        assert_eq!(dtls, answer.dtls.is_some());
        (dtls, answer.ice.is_some())
    };
    assert_eq!(taken(&offer, &Terms { srtp: Srtp::Off, ..terms(&own) }), (false, true));
    assert_eq!(taken(&offer, &Terms { ice: config::Ice::Off, ..terms(&own) }), (true, false));
    let two_ports = MediaDescription { rtcp_mux: false, ..offer.clone() };
    assert_eq!(taken(&two_ports, &terms(&own)), (true, false));
    let mut weak = offer.clone();
    weak.dtls.as_mut().unwrap().fingerprints[0].hash = "md5".into();
    assert_eq!(taken(&weak, &terms(&own)), (false, true));
    let mut lite = offer;
    lite.ice.as_mut().unwrap().lite = true;
    assert_eq!(taken(&lite, &terms(&own)), (true, false), "two who only answer never meet");
}

#[test]
fn an_offer_of_ours_is_concluded_or_refused() {
    let own = own();
    let mut proof = Proof::default();
    let mut offer = plain();
    proof.offer(&mut offer, &terms(&own)).unwrap();
    assert!(offer.secured && offer.ice.is_some() && offer.dtls.is_some());
    assert_eq!(proof.wanted().unwrap().dtls, None, "nobody is known yet");
    assert_eq!(proof.clone().conclude(&plain()), Err(MediaError::NotSecured));
    let refused = MediaDescription { rtp: "192.0.2.1:0".parse().unwrap(), ..plain() };
    assert_eq!(proof.clone().conclude(&refused), Ok(false));
    assert_eq!(proof.conclude(&browser(Setup::Active, "them")), Ok(true));
    let wanted = proof.wanted().unwrap();
    assert_eq!(wanted.dtls.unwrap().role, Role::Server);
    assert_eq!(wanted.ice.unwrap().remote_ufrag.as_deref(), Some("them"));
}

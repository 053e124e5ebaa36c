//! Every message of a call can be read back, by its tenant alone, and reaches a HOMER server.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use harness::phone::Phone;
use harness::{OwnerEnd, Rig, invite_to, media, within};
use sidetone_model::command::{Invite, LegCommandKind};
use sidetone_model::ids::{CallId, LegId};
use sidetone_model::signal::LegSignalKind;
use sidetone_proto::signalling::v1::signalling_server::Signalling as _;
use sidetone_proto::signalling::v1::{LadderMessage, ReadLadderRequest};
use sidetone_signalling::{Config, HepConfig, LadderConfig};
use tokio::net::UdpSocket;

/// A call of Ada's to a number that waits, answered and ended.
async fn call(owner: &mut OwnerEnd, phone: &mut Phone, call_id: &str) -> LegId {
    phone.invite("9198", call_id).await;
    let offered = owner.signal().await;
    owner.command("alpha", offered.leg, 1, LegCommandKind::Answer { media: media() }).await;
    let ok = phone.last().await;
    phone.within_dialog("ACK", &ok, "", "").await;
    assert!(matches!(owner.signal().await.kind, LegSignalKind::Confirmed { .. }));
    phone.within_dialog("BYE", &ok, "", "").await;
    assert_eq!(phone.last().await.status().code(), 200);
    let (ended, _) = owner.ended().await;
    owner.ack(&ended).await;
    offered.leg
}

async fn ladder(rig: &Rig, tenant: &str, leg: LegId, show_numbers: bool) -> Vec<LadderMessage> {
    let request =
        ReadLadderRequest { tenant: tenant.to_owned(), leg_ids: vec![leg.to_string()], show_numbers };
    let answer = rig.signalling.service().read_ladder(tonic::Request::new(request)).await.unwrap();
    answer.into_inner().try_collect().await.unwrap()
}

/// The first words of messages, with who sent them.
fn firsts(messages: &[LadderMessage]) -> Vec<String> {
    let first = |m: &LadderMessage| {
        let text = String::from_utf8(m.message.clone()).unwrap();
        let word = if text.starts_with("SIP/2.0") { 1 } else { 0 };
        let word = text.split(' ').nth(word).unwrap().to_owned();
        format!("{}{word}", if m.received { ">" } else { "<" })
    };
    messages.iter().map(first).collect()
}

const WHOLE_CALL: [&str; 8] = [">INVITE", "<401", ">ACK", ">INVITE", "<200", ">ACK", ">BYE", "<200"];

fn is_whole(messages: &[LadderMessage]) -> bool {
    let mut seen = firsts(messages);
    // Whether a 100 goes out before the challenge depends on how fast the directory is.
    seen.retain(|first| first != "<100");
    // On a busy machine a response is said again before its ACK has come, or the phone is late with it.
    seen.dedup();
    seen == WHOLE_CALL
}

#[tokio::test]
async fn a_call_is_read_back_from_challenge_to_goodbye_by_its_tenant_alone() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    phone.register(600).await;
    let leg = call(&mut owner, &mut phone, "one").await;
    let messages = ladder(&rig, "alpha", leg, false).await;
    assert!(is_whole(&messages), "{:?}", firsts(&messages));
    assert!(messages.windows(2).all(|pair| pair[0].at_unix_us <= pair[1].at_unix_us));
    for message in &messages {
        let text = String::from_utf8(message.message.clone()).unwrap();
        assert!(!text.contains("1001") && !text.contains("9198@"), "{text}");
        assert!(!text.contains("response="), "{text}");
        assert_eq!(message.replica_id, "signalling-0");
    }
    let shown = ladder(&rig, "alpha", leg, true).await;
    assert!(String::from_utf8_lossy(&shown[0].message).contains("sip:9198@"));
    assert!(shown.iter().all(|message| !String::from_utf8_lossy(&message.message).contains("response=")));
    // The id of a leg is of no use to another tenant.
    assert_eq!(ladder(&rig, "beta", leg, true).await, []);
}

#[tokio::test]
async fn two_calls_with_the_same_call_id_are_told_apart() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut first = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let mut second = Phone::udp(&rig, "1002", "pw-of-ben").await;
    let one = call(&mut owner, &mut first, "same").await;
    let two = call(&mut owner, &mut second, "same").await;
    for (leg, phone) in [(one, &first), (two, &second)] {
        let messages = ladder(&rig, "alpha", leg, false).await;
        assert!(is_whole(&messages), "{:?}", firsts(&messages));
        let port = u32::from(phone.local.port());
        let remotes = messages.iter().map(|m| m.flow.as_ref().unwrap().remote.as_ref().unwrap().port);
        assert!(remotes.into_iter().all(|remote| remote == port));
    }
}

#[tokio::test]
async fn the_files_tell_of_calls_before_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Some(folder.path().to_owned());
    let config =
        Config { ladder: LadderConfig { directory, ..LadderConfig::default() }, ..Config::default() };
    let rig = Rig::with(config).await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let leg = call(&mut owner, &mut phone, "one").await;
    let written = || {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        files.map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>().concat()
    };
    // The BYE, and what was answered to it: the last line of each CSeq.
    let ended = |bytes: &[u8]| bytes.windows(6).filter(|window| window == b" BYE\r\n").count() > 1;
    rig.until("the files are written", || ended(&written())).await;
    assert!(!String::from_utf8_lossy(&written()).contains("response="), "an answer to a challenge on disk");
    let rig = rig.restart().await;
    let messages = ladder(&rig, "alpha", leg, false).await;
    assert!(is_whole(&messages), "{:?}", firsts(&messages));
}

/// The chunks of a HEPv3 datagram by their type, after all that must hold of its frame.
fn chunks(datagram: &[u8]) -> HashMap<u16, Vec<u8>> {
    assert_eq!(&datagram[..4], b"HEP3");
    assert_eq!(usize::from(u16::from_be_bytes([datagram[4], datagram[5]])), datagram.len());
    let mut rest = &datagram[6..];
    let mut chunks = HashMap::new();
    while !rest.is_empty() {
        assert_eq!(&rest[..2], [0, 0], "the generic vendor");
        let kind = u16::from_be_bytes([rest[2], rest[3]]);
        let length = usize::from(u16::from_be_bytes([rest[4], rest[5]]));
        assert!(chunks.insert(kind, rest[6..length].to_vec()).is_none());
        rest = &rest[length..];
    }
    chunks
}

#[tokio::test]
async fn homer_gets_every_message_with_where_it_came_from() {
    let homer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let hep = HepConfig {
        address: Some(homer.local_addr().unwrap().to_string()),
        capture_id: 2026,
        password: Some("hep-key".to_owned()),
        ..HepConfig::default()
    };
    let rig = Rig::with(Config { hep, ..Config::default() }).await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    phone.register(600).await;
    let port = |value: &[u8]| u16::from_be_bytes([value[0], value[1]]);
    let mut seen = Vec::new();
    let mut buffer = vec![0; 65_536];
    while seen.len() < 4 {
        let length = within(homer.recv(&mut buffer)).await.unwrap();
        let chunks = chunks(&buffer[..length]);
        let text = String::from_utf8(chunks[&15].clone()).unwrap();
        let from_phone = port(&chunks[&7]) == phone.local.port();
        assert_eq!((chunks[&1].as_slice(), chunks[&2].as_slice()), (&[2][..], &[17][..]), "IPv4, UDP");
        assert_eq!((&chunks[&3], &chunks[&4]), (&vec![127, 0, 0, 1], &vec![127, 0, 0, 1]));
        assert_eq!(from_phone, text.starts_with("REGISTER"));
        assert_eq!((chunks[&11].as_slice(), chunks[&12].as_slice()), (&[1][..], &2026u32.to_be_bytes()[..]));
        assert_eq!(chunks[&14], b"hep-key");
        let seconds = u32::from_be_bytes(chunks[&9].as_slice().try_into().unwrap());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!(now.as_secs() - u64::from(seconds) < 60);
        assert!(u32::from_be_bytes(chunks[&10].as_slice().try_into().unwrap()) < 1_000_000);
        assert!(!text.contains("sip:1001@") && !text.contains("response="), "{text}");
        seen.push(text.split("\r\n").next().unwrap().split('@').next().unwrap().to_owned());
    }
    assert!(seen[0].starts_with("REGISTER") && seen[1].starts_with("SIP/2.0 401"), "{seen:?}");
    assert!(seen[2].starts_with("REGISTER") && seen[3].starts_with("SIP/2.0 200"), "{seen:?}");
}

/// Ada's call comes in, and call control calls Ben for her. What was said before there was a leg belongs to the call, too.
#[tokio::test]
async fn homer_is_told_which_messages_are_of_one_call() {
    let homer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = Some(homer.local_addr().unwrap().to_string());
    let hep = HepConfig { address, ..HepConfig::default() };
    let rig = Rig::with(Config { hep, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let mut ben = Phone::udp(&rig, "1002", "pw-of-ben").await;
    ben.register(600).await;
    let mut ada = Phone::udp(&rig, "1001", "pw-of-ada").await;
    ada.invite("9198", "ada-calls").await;
    let offered = owner.signal().await;
    let call = CallId::from(offered.leg.as_uuid());
    let binding = rig.bindings("alpha", "ben").await.remove(0).binding;
    owner.calls(5, Invite { call: Some(call), ..invite_to("1002", binding) }).await;
    let _rings = ben.request().await;
    // INVITE, challenge, ACK and INVITE of Ada, and the INVITE to Ben.
    let (mut adas, mut bens) = (0, 0);
    let mut buffer = vec![0; 65_536];
    while adas < 4 || bens < 1 {
        let length = within(homer.recv(&mut buffer)).await.unwrap();
        let chunks = chunks(&buffer[..length]);
        let text = String::from_utf8(chunks[&15].clone()).unwrap();
        if text.contains(" REGISTER\r\n") {
            assert!(!chunks.contains_key(&17), "no call: {text}");
            continue;
        }
        let correlation = chunks.get(&17).map(|id| String::from_utf8(id.clone()).unwrap());
        assert_eq!(correlation, Some(call.to_string()), "{text}");
        let of_ada = text.contains("Call-ID: ada-calls");
        (adas, bens) = (adas + usize::from(of_ada), bens + usize::from(!of_ada));
    }
}

/// A HOMER server that is away costs calls nothing.
#[tokio::test]
async fn nobody_waits_for_homer() {
    let hep = HepConfig { address: Some("127.0.0.1:1".to_owned()), ..HepConfig::default() };
    let rig = Rig::with(Config { hep, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    tokio::time::timeout(Duration::from_secs(10), call(&mut owner, &mut phone, "one")).await.unwrap();
}

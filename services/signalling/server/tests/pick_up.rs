//! A phone takes a call that rings at another user's phone by INVITE with Replaces of the leg that its lamp has told (RFC 3891,
//! RFC 4235): only who has the right to.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::phone::{Phone, SDP};
use harness::{OwnerEnd, Rig, invite_to};
use sidetone_model::command::Invite;
use sidetone_model::ids::LegId;
use sidetone_model::party::Party;
use sidetone_model::signal::LegSignalKind;
use sidetone_proto::directory::v1 as pb;
use sidetone_proto::types::v1 as types;
use sidetone_sip_core::message::Response;

/// Ben's phone rings; what is called on the leg that his watchers are told.
async fn rings_at_ben(rig: &Rig, owner: &OwnerEnd, ben: &mut Phone) -> LegId {
    assert_eq!(ben.register(600).await.1.status().code(), 200);
    let binding = rig.bindings("alpha", "ben").await.remove(0).binding;
    let from = Party { number: "+4940777".into(), ..Party::default() };
    let leg = owner.calls(8, Invite { from, ..invite_to("1002", binding) }).await;
    let rung = ben.request().await;
    assert_eq!(rung.method().as_str(), "INVITE");
    ben.answer(&rung, "180 Ringing", "").await;
    leg
}

fn replaces(leg: LegId) -> String {
    format!("Replaces: {leg};to-tag=watched;from-tag=sidetone;early-only\r\n")
}

/// The final answer to an INVITE with credentials that would take the leg's place; none when it is offered to the owner.
async fn takes(phone: &mut Phone, owner: &mut OwnerEnd, leg: LegId, call_id: &str) -> Result<(), Response> {
    let (uri, to) = (format!("1002@{}", phone.domain), format!("<sip:1002@{}>", phone.domain));
    let first = phone.compose("INVITE", &uri, &to, call_id, &replaces(leg), SDP);
    phone.send(first).await;
    let challenge = phone.next_response_of(call_id).await;
    assert_eq!(challenge.status().code(), 401);
    let ack = phone.ack_of_refusal(&challenge, &uri);
    phone.send(ack).await;
    let lines = replaces(leg) + &phone.authorization(&challenge, "INVITE", &uri);
    let second = phone.compose("INVITE", &uri, &to, call_id, &lines, SDP);
    phone.send(second).await;
    tokio::select! {
        signal = owner.signal() => {
            owner.ack(&signal).await;
            let LegSignalKind::Offered(offered) = signal.kind else { panic!("{:?}", signal.kind) };
            assert_eq!(offered.replaces, Some(leg));
            Ok(())
        }
        refused = phone.next_response_of(call_id) => Err(refused),
    }
}

async fn give_ada_the_right(rig: &Rig, may_pick_up: bool) {
    let user = pb::User { tenant: "alpha".into(), user: "ada".into(), may_pick_up, ..pb::User::default() };
    rig.directory.put_user(user).await.unwrap();
}

#[tokio::test]
async fn to_watch_is_not_to_take() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut ben = Phone::udp(&rig, "1002", "pw-of-ben").await;
    let leg = rings_at_ben(&rig, &owner, &mut ben).await;
    let ringing = owner.signal().await;
    assert!(matches!(ringing.kind, LegSignalKind::Progress { .. }), "{ringing:?}");
    owner.ack(&ringing).await;

    let mut ada = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let refused = takes(&mut ada, &mut owner, leg, "watcher").await.unwrap_err();
    assert_eq!(refused.status().code(), 403, "she watches, and has no right");
    assert_eq!(rig.telemetry.signalling.refused.with_label_values(&["pick_up"]).get(), 1);

    // Who has proved nothing may call an open number, and take nothing by it.
    let mut stranger = Phone::udp(&rig, "anybody", "").await;
    let (uri, to) = ("9196@alpha.test", "<sip:9196@alpha.test>");
    let invite = stranger.compose("INVITE", uri, to, "stranger", &replaces(leg), SDP);
    stranger.send(invite).await;
    assert_eq!(stranger.next_response_of("stranger").await.status().code(), 403);

    // A phone of another tenant finds no such leg.
    let mut beta = Phone::new(&rig, ada.transport, "beta.test", "1001", "pw-of-beta").await;
    assert_eq!(takes(&mut beta, &mut owner, leg, "beta").await.unwrap_err().status().code(), 481);
}

#[tokio::test]
async fn the_right_a_group_and_being_the_same_user_let_one_take_it() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut ben = Phone::udp(&rig, "1002", "pw-of-ben").await;
    let leg = rings_at_ben(&rig, &owner, &mut ben).await;
    let ringing = owner.signal().await;
    owner.ack(&ringing).await;

    let mut ada = Phone::udp(&rig, "1001", "pw-of-ada").await;
    give_ada_the_right(&rig, true).await;
    takes(&mut ada, &mut owner, leg, "right").await.unwrap();
    give_ada_the_right(&rig, false).await;
    assert_eq!(takes(&mut ada, &mut owner, leg, "again").await.unwrap_err().status().code(), 403);

    let group = |members: [&str; 2]| {
        let members = members.map(str::to_owned).to_vec();
        let kind = types::destination::Kind::PickUpGroup(types::destination::PickUpGroup { members });
        pb::Number {
            tenant: "alpha".into(),
            number: "*81".into(),
            destination: Some(types::Destination { kind: Some(kind) }),
            ..pb::Number::default()
        }
    };
    rig.directory.put_number(group(["ada", "ben"])).await.unwrap();
    takes(&mut ada, &mut owner, leg, "group").await.unwrap();

    let mut own = Phone::udp(&rig, "1002", "pw-of-ben").await;
    takes(&mut own, &mut owner, leg, "own").await.unwrap();
}

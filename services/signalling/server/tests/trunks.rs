//! Carriers: registered at, asked for signs of life, called from and called over, one after the other.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use crate::harness;

use harness::carrier::{CHALLENGE, Carrier, call_out, put, trunk, until};
use harness::phone::SDP;
use harness::{OwnerEnd, Rig};
use sidetone_model::command::LegCommandKind;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_proto::directory::v1 as pb;
use sidetone_signalling::Config;
use sidetone_sip_core::message::Message;

/// Answers OPTIONS in one way until the trunk says what is wanted.
async fn options_until(rig: &Rig, carrier: &Carrier, status: &str, wanted: impl Fn(&pb::TrunkState) -> bool) {
    let answering = async {
        loop {
            let options = carrier.request("OPTIONS").await;
            carrier.answer(&options, status, "", "").await;
        }
    };
    tokio::select! {
        () = until(rig, "acme", wanted) => {}
        () = answering => {}
    }
}

#[tokio::test]
async fn a_trunk_is_registered_with_its_password_and_asked_for_life() {
    let rig = Rig::start().await;
    let _owner = rig.attach().await;
    let carrier = Carrier::new(&rig).await;
    let record = pb::Trunk {
        register_as: "4930@carrier.test".into(),
        options_interval_s: 1,
        ..trunk("acme", &carrier, 1)
    };
    put(&rig, record).await;
    // Until something has come back nobody knows how it is.
    until(&rig, "acme", |state| state.unknown && !state.healthy).await;
    let register = loop {
        // The answer to the first OPTIONS can wait.
        if let Message::Request(request) = carrier.next().await
            && request.method().as_str() == "REGISTER"
        {
            break request;
        }
    };
    assert_eq!(register.to().uri.user(), "4930");
    carrier.answer(&register, "401 Unauthorized", CHALLENGE, "").await;
    let again = carrier.request("REGISTER").await;
    assert_eq!((again.call_id(), again.cseq() > register.cseq()), (register.call_id(), true));
    let answer = again.header("Authorization").unwrap();
    assert!(answer.contains("username=\"4930\"") && answer.contains("uri=\"sip:carrier.test\""), "{answer}");
    assert!(!answer.contains("carrier-secret"));
    carrier.answer(&again, "423 Interval Too Brief", "Min-Expires: 900\r\n", "").await;
    let longer = carrier.request("REGISTER").await;
    assert_eq!(longer.expires_s(), Some(900));
    carrier.answer(&longer, "200 OK", "Expires: 900\r\n", "").await;
    options_until(&rig, &carrier, "200 OK", |state| state.registered && state.healthy && !state.unknown)
        .await;
    // Nothing lives behind it any more, and then it does again.
    let gone = |state: &pb::TrunkState| !state.healthy && state.problem == "503";
    options_until(&rig, &carrier, "503 Service Unavailable", gone).await;
    options_until(&rig, &carrier, "200 OK", |state| state.healthy && state.problem.is_empty()).await;
}

#[tokio::test]
async fn a_call_takes_the_next_way_when_one_fails_and_answers_a_challenge() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let (first, second) = (Carrier::new(&rig).await, Carrier::new(&rig).await);
    put(&rig, trunk("first", &first, 1)).await;
    put(&rig, pb::Trunk { caller_id: "+49301000".into(), ..trunk("second", &second, 2) }).await;
    until(&rig, "second", |_| true).await;

    let leg = call_out(&owner, 1, "0401234").await;
    let invite = first.request("INVITE").await;
    assert_eq!(invite.uri().user(), "+49401234");
    assert_eq!(invite.from().uri.user(), "+493011001");
    first.answer(&invite, "503 Service Unavailable", "", "").await;
    let invite = second.request("INVITE").await;
    assert_eq!((invite.uri().user(), invite.from().uri.user()), ("+49401234".into(), "+49301000".into()));
    second.answer(&invite, "401 Unauthorized", CHALLENGE, "").await;
    let again = second.request("INVITE").await;
    assert_eq!((again.call_id(), again.cseq()), (invite.call_id(), invite.cseq() + 1));
    assert!(again.header("Authorization").is_some());
    second.answer(&again, "200 OK", "", SDP).await;
    let signal = owner.signal().await;
    assert!(matches!(signal.kind, LegSignalKind::Answered { media: Some(_) }), "{signal:?}");
    assert_eq!(signal.trunk.as_deref(), Some("second"), "the way that it took at last");
    let ack = second.request("ACK").await;
    assert_eq!(ack.cseq(), again.cseq());
    until(&rig, "second", |state| state.calls == 1).await;
    owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Normal))).await;
    let bye = second.request("BYE").await;
    second.answer(&bye, "200 OK", "", "").await;
    owner.ended().await;
    until(&rig, "second", |state| state.calls == 0).await;

    // What a carrier refuses for good is not tried elsewhere. The first rests now; should that take longer than it rests, it
    // fails once more.
    let out_of_order = async {
        loop {
            let invite = first.request("INVITE").await;
            first.answer(&invite, "503 Service Unavailable", "", "").await;
        }
    };
    let refused = async {
        call_out(&owner, 2, "0405678").await;
        let invite = second.request("INVITE").await;
        second.answer(&invite, "486 Busy Here", "", "").await;
        owner.ended().await
    };
    let (_, termination) = tokio::select! {
        ended = refused => ended,
        () = out_of_order => unreachable!("it never ends"),
    };
    assert_eq!(termination.sip_status, Some(486));
    let count = |trunk: &str, result: &str| {
        rig.telemetry.signalling.trunk_calls.with_label_values(&[trunk, result]).get()
    };
    let told = |trunk: &str, class: &str| {
        rig.telemetry.signalling.trunk_responses.with_label_values(&[trunk, class]).get()
    };
    // The challenge, and then that it is busy.
    assert_eq!((told("second", "2xx"), told("second", "4xx"), told("second", "5xx")), (1, 2, 0));
    assert!(told("first", "5xx") >= 1);
    let sent = |method: &str| rig.telemetry.signalling.requests_sent.with_label_values(&[method]).get();
    assert!(sent("INVITE") >= 4 && sent("BYE") >= 1 && sent("other") == 0);
    assert!(rig.telemetry.signalling.responses_received.with_label_values(&["5xx"]).get() >= 1);
    assert_eq!((count("second", "tried"), count("second", "refused")), (2, 1));
    assert_eq!(count("first", "tried"), count("first", "failed"));
    assert!(count("first", "tried") >= 1);
}

#[tokio::test]
async fn a_carrier_that_says_nothing_is_left_for_the_next() {
    let rig = Rig::with(Config { t1_ms: 60, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let (silent, second) = (Carrier::new(&rig).await, Carrier::new(&rig).await);
    put(&rig, trunk("silent", &silent, 1)).await;
    put(&rig, trunk("second", &second, 2)).await;
    until(&rig, "second", |_| true).await;
    call_out(&owner, 3, "0401234").await;
    let invite = second.request("INVITE").await;
    second.answer(&invite, "603 Decline", "", "").await;
    assert_eq!(owner.ended().await.1.sip_status, Some(603));
}

#[tokio::test]
async fn a_carriers_call_finds_tenant_and_number_and_never_another_carrier() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let carrier = Carrier::new(&rig).await;
    put(&rig, pb::Trunk { calls_max: 1, ..trunk("acme", &carrier, 1) }).await;
    until(&rig, "acme", |_| true).await;
    let invite = |number: &str, call_id: &str| {
        let local = carrier.socket.local_addr().unwrap();
        format!(
            "INVITE sip:{number}@{} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{call_id};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+4940777@carrier.test>;tag=a\r\nTo: <sip:{number}@carrier.test>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:{local}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            carrier.server,
            SDP.len()
        )
    };
    let status = async |call_id: &str| loop {
        if let Message::Response(response) = carrier.next().await
            && response.call_id() == call_id
            && response.status().is_final()
        {
            return response.status().code();
        }
    };
    carrier.socket.send_to(invite("+49301001", "a").as_bytes(), carrier.server).await.unwrap();
    let signal = owner.signal().await;
    assert_eq!(signal.trunk.as_deref(), Some("acme"));
    let LegSignalKind::Offered(offered) = signal.kind else { panic!("a call") };
    assert_eq!((&*offered.dialled, &*offered.from.number), ("1001", "+4940777"));
    assert_eq!(offered.from.user, None);
    // As many as it may.
    carrier.socket.send_to(invite("+49301002", "b").as_bytes(), carrier.server).await.unwrap();
    assert_eq!(status("b").await, 503);
    // A number that nobody here has would go out again: it does not.
    carrier.socket.send_to(invite("+4940999", "c").as_bytes(), carrier.server).await.unwrap();
    assert_ne!(status("c").await, 200);
    assert_eq!(rig.telemetry.signalling.legs.get(), 1);
}

#[tokio::test]
async fn calls_of_a_former_life_still_count_against_the_trunks_limit() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let carrier = Carrier::new(&rig).await;
    put(&rig, pb::Trunk { calls_max: 1, ..trunk("acme", &carrier, 1) }).await;
    until(&rig, "acme", |_| true).await;
    let leg = call_out(&owner, 1, "0401234").await;
    let invite = carrier.request("INVITE").await;
    carrier.answer(&invite, "200 OK", "", SDP).await;
    let answered = owner.signal().await;
    assert!(matches!(answered.kind, LegSignalKind::Answered { .. }), "{answered:?}");
    owner.ack(&answered).await;
    carrier.request("ACK").await;

    let rig = rig.restart().await;
    let mut owner = rig.attach().await;
    until(&rig, "acme", |state| state.calls == 1).await;
    call_out(&owner, 2, "0405678").await;
    let (refused, why) = owner.ended().await;
    assert_eq!((refused.leg == leg, why.cause), (false, Cause::NoCapacity));
    // When it is over there is room again.
    owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Normal))).await;
    let bye = carrier.request("BYE").await;
    carrier.answer(&bye, "200 OK", "", "").await;
    assert_eq!(owner.ended().await.0.leg, leg);
    until(&rig, "acme", |state| state.calls == 0).await;
    call_out(&owner, 3, "0409999").await;
    assert_eq!(carrier.request("INVITE").await.uri().user(), "+49409999");
}

#[tokio::test]
async fn a_silent_carrier_is_left_after_seconds_and_what_it_says_late_is_not_wanted() {
    let rig = Rig::with(Config { carrier_silence_s: 1, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let (silent, second) = (Carrier::new(&rig).await, Carrier::new(&rig).await);
    put(&rig, trunk("silent", &silent, 1)).await;
    put(&rig, trunk("second", &second, 2)).await;
    until(&rig, "second", |_| true).await;
    let leg = call_out(&owner, 3, "0401234").await;
    let late = silent.request("INVITE").await;
    // With timer B this would take 32 s, and the test's patience is less.
    let invite = second.request("INVITE").await;
    // One call for whoever traces it, and two dialogs.
    assert_eq!(invite.call_id(), late.call_id());
    assert_ne!(invite.from().param("tag"), late.from().param("tag"));
    second.answer(&invite, "200 OK", "", SDP).await;
    assert!(matches!(owner.signal().await.kind, LegSignalKind::Answered { .. }));
    // The first wakes up and answers: it is thanked and sent away, and the call does not notice.
    silent.answer(&late, "200 OK", "", SDP).await;
    silent.request("ACK").await;
    let bye = silent.request("BYE").await;
    assert_eq!(bye.call_id(), late.call_id());
    silent.answer(&bye, "200 OK", "", "").await;
    owner.command("alpha", leg, 2, LegCommandKind::End(Termination::new(Cause::Normal))).await;
    let bye = second.request("BYE").await;
    assert_eq!(bye.call_id(), invite.call_id());
    second.answer(&bye, "200 OK", "", "").await;
    owner.ended().await;
    let count = rig.telemetry.signalling.trunk_calls.with_label_values(&["silent", "silent"]).get();
    assert_eq!(count, 1);
}

/// Calls over a carrier, which names a number of ours in its place.
async fn sends_elsewhere(owner: &OwnerEnd, carrier: &Carrier, (seed, number): (u8, &str)) {
    call_out(owner, seed, number).await;
    let invite = carrier.request("INVITE").await;
    let contact = format!("Contact: <sip:1003@{}>\r\n", carrier.server);
    carrier.answer(&invite, "302 Moved Temporarily", &contact, "").await;
}

#[tokio::test]
async fn redirections_of_a_carrier_are_told_unless_its_trunk_says_otherwise() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let carrier = Carrier::new(&rig).await;
    put(&rig, trunk("open", &carrier, 1)).await;
    let routes = vec![pb::TrunkRoute { prefix: "+4999".into(), priority: 1, weight: 1 }];
    put(&rig, pb::Trunk { redirects_ignored: true, routes, ..trunk("closed", &carrier, 1) }).await;
    until(&rig, "open", |_| true).await;
    until(&rig, "closed", |_| true).await;
    sends_elsewhere(&owner, &carrier, (1, "0401234")).await;
    let LegSignalKind::Redirected { targets } = owner.signal().await.kind else { panic!("told") };
    assert!(targets.iter().any(|target| &*target.number == "1003"), "{targets:?}");
    assert_eq!(owner.ended().await.1.sip_status, Some(302));

    sends_elsewhere(&owner, &carrier, (2, "0991234")).await;
    let signal = owner.signal().await;
    let LegSignalKind::Ended(why) = &signal.kind else { panic!("nothing but its end is told: {signal:?}") };
    assert_eq!(why.sip_status, Some(302));
    let count = |trunk: &str, result: &str| {
        rig.telemetry.signalling.trunk_calls.with_label_values(&[trunk, result]).get()
    };
    assert_eq!((count("open", "redirect_ignored"), count("closed", "redirect_ignored")), (0, 1));
    assert_eq!(count("closed", "refused"), 1, "it is no failure of the carrier");
}

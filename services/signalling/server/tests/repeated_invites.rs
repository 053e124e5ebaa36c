//! An INVITE that is sent again, or comes by another way, to another replica makes no second call (decision 80).
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use crate::harness;

use harness::phone::{Phone, SDP};
use harness::{OwnerEnd, Rig, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::ids::{LegId, ReplicaId};
use sidetone_model::party::Transport;
use sidetone_model::signal::{InviteId, LegSignalKind, OwnerMessage};

/// The next call that is offered, by what it is known again.
async fn offered(owner: &mut OwnerEnd) -> (LegId, InviteId) {
    let signal = owner.signal().await;
    let LegSignalKind::Offered(offered) = &signal.kind else { panic!("a call: {signal:?}") };
    owner.ack(&signal).await;
    (signal.leg, offered.invite.clone())
}

#[tokio::test]
async fn it_is_answered_by_the_replica_that_has_it_over_the_way_it_came() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let holder = Rig::start().await;
        let other = holder.beside("signalling-1").await;
        let (mut owner, mut other_owner) = (holder.attach().await, other.attach().await);
        let mut phone = Phone::new(&holder, transport, "alpha.test", "1001", "pw-of-ada").await;
        let to = "<sip:9196@alpha.test>";
        let invite = phone.compose("INVITE", "9196@alpha.test", to, "c1", "", SDP);
        phone.send(&invite).await;
        let (leg, first) = offered(&mut owner).await;
        owner.command("alpha", leg, 1, LegCommandKind::Ring { media: None }).await;
        let ringing = phone.response().await;
        assert_eq!(ringing.status().code(), 180);

        phone.speak_to(&other).await;
        phone.send(&invite).await;
        let (copy, again) = offered(&mut other_owner).await;
        assert_eq!(again, first);
        assert_eq!((&*first.from_tag, first.cseq), ("tc1", 1));
        assert!(first.transaction.ends_with("z9hG4bKc11"), "{first:?}");
        let at = Some(ReplicaId::new("signalling-0").unwrap());
        other_owner.say(OwnerMessage::Repeated { leg: copy, at }).await;
        // What was said before is said again, by who said it.
        let said_again = phone.response().await;
        assert_eq!((said_again.status().code(), said_again.to().tag()), (180, ringing.to().tag()));
        other.until("the copy is forgotten", || other.telemetry.signalling.legs.get() == 0).await;
        assert_eq!((other.handed_over("invite"), holder.handed_over("taken")), (1, 1));

        owner.command("alpha", leg, 2, LegCommandKind::Answer { media: media() }).await;
        let answered = phone.last().await;
        assert_eq!((answered.status().code(), answered.to().tag()), (200, ringing.to().tag()));
        phone.within_dialog("ACK", &answered, "", "").await;
        let confirmed = owner.signal().await;
        assert!(matches!(confirmed.kind, LegSignalKind::Confirmed { .. }), "{confirmed:?}");
        assert_eq!(holder.telemetry.signalling.legs.get(), 1);
    }
}

#[tokio::test]
async fn by_another_way_it_is_refused_as_a_loop() {
    let holder = Rig::start().await;
    let other = holder.beside("signalling-1").await;
    let (mut owner, mut other_owner) = (holder.attach().await, other.attach().await);
    let mut phone = Phone::udp(&holder, "1001", "pw-of-ada").await;
    let invite = phone.compose("INVITE", "9196@alpha.test", "<sip:9196@alpha.test>", "c1", "", SDP);
    phone.send(&invite).await;
    let (_, first) = offered(&mut owner).await;
    phone.speak_to(&other).await;
    phone.send(invite.replace("branch=z9hG4bK", "branch=z9hG4bKother")).await;
    let (copy, second) = offered(&mut other_owner).await;
    assert_eq!((&first.from_tag, first.cseq), (&second.from_tag, second.cseq));
    assert_ne!(first.transaction, second.transaction);
    other_owner.say(OwnerMessage::Repeated { leg: copy, at: None }).await;
    assert_eq!(phone.last().await.status().code(), 482);
    other.until("the copy is forgotten", || other.telemetry.signalling.legs.get() == 0).await;
    assert_eq!(other.telemetry.signalling.refused.with_label_values(&["merged"]).get(), 1);
    assert_eq!(holder.telemetry.signalling.legs.get(), 1, "the call goes on");
}

#[tokio::test]
async fn what_was_cancelled_meanwhile_is_not_handed_over() {
    let holder = Rig::start().await;
    let other = holder.beside("signalling-1").await;
    let (_owner, mut other_owner) = (holder.attach().await, other.attach().await);
    let mut phone = Phone::udp(&other, "1001", "pw-of-ada").await;
    let invite = phone.compose("INVITE", "9196@alpha.test", "<sip:9196@alpha.test>", "c1", "", SDP);
    phone.send(&invite).await;
    let (copy, _) = offered(&mut other_owner).await;
    let cancel = phone.compose("CANCEL", "9196@alpha.test", "<sip:9196@alpha.test>", "c1", "", "");
    phone.send(cancel).await;
    while phone.last().await.cseq_method().as_str() != "INVITE" {}
    let at = Some(ReplicaId::new("signalling-0").unwrap());
    other_owner.say(OwnerMessage::Repeated { leg: copy, at }).await;
    other.until("it is forgotten", || other.telemetry.signalling.legs.get() == 0).await;
    assert_eq!(other.handed_over("invite"), 0);
}

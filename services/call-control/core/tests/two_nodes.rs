//! Calls on two media nodes that are to be connected: the phones of one are told of a port on the other's node.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use crate::kit;

use kit::{Office, connects, ended, held, media};
use sidetone_call_core::{CommandError, Connection, HeldMedia, MediaReply, MediaRequest, Routing};
use sidetone_model::command::{CallCommand, CallCommandKind, LegCommandKind, ReferralState};
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Capability, RecordingPhase};
use sidetone_model::ids::{CallId, LegId};
use sidetone_model::media::MediaDescription;
use sidetone_model::signal::{LegSignalKind, Referred, Target};
use sidetone_model::termination::{Cause, Termination};

const NEW_PORT: u16 = 5000;

/// What the second node describes.
fn there() -> MediaDescription {
    let mut there = media();
    there.rtp.set_port(NEW_PORT);
    there
}

/// ada talks to ben on the first node, holds, and talks to cid on the second: her legs, and theirs.
struct Parted {
    office: Office,
    held: LegId,
    ben: LegId,
    active: LegId,
    cid: LegId,
}

impl Parted {
    fn new() -> Self {
        let mut office = Office::new();
        let (held, ben) = office.connect("ada", "ben");
        office.does(CallCommandKind::Hold { leg: held }).unwrap();
        office.serve();
        // The first node takes no new legs now.
        let nodes = office.nodes.clone();
        office.nodes.remove(0);
        let (active, cid) = office.connect("ada", "cid");
        office.nodes = nodes;
        let node = |leg: LegId| office.leg(leg).node.clone().unwrap().0;
        assert_ne!(node(held), node(active));
        Self { office, held, ben, active, cid }
    }

    fn merge(&self) -> CallCommandKind {
        CallCommandKind::Merge { active: self.active, held: self.held }
    }

    /// A command that has to wait; media has a port for it.
    fn begin(&mut self, kind: CallCommandKind) -> CallCommand {
        let command = CallCommand { tenant: self.office.tenant.clone(), key: "together".into(), kind };
        let (_, step) = self.office.shard.gather(&command, self.office.now).expect("legs must be moved");
        assert!(step.record.facts.is_empty(), "nobody sees it before it is done");
        self.office.take(step);
        self.open_port();
        command
    }

    /// The second node gives its port.
    fn open_port(&mut self) {
        let (node, request) = self.office.requests.remove(0);
        assert!(matches!(request, MediaRequest::CreateLeg { remote: None, .. }), "{request:?}");
        let reply = MediaReply::Created { local: there(), boot: self.office.boot_of(&node) };
        let step = self.office.shard.handle_media(&node, request, Ok(reply), self.office.now);
        self.office.take(step);
    }

    /// The phone answers the offer of the new port, and media takes that in.
    fn goes_there(&mut self, leg: LegId) {
        assert_eq!(self.told(leg), NEW_PORT);
        self.office.signal(leg, LegSignalKind::Reanswered { media: media() });
        let (node, request) = self.office.requests.remove(0);
        assert_eq!(node, self.office.nodes[1].node, "{request:?}");
        let reply = MediaReply::Updated { local: there() };
        let step = self.office.shard.handle_media(&node, request, Ok(reply), self.office.now);
        self.office.take(step);
    }

    /// The port that a phone was told last.
    fn told(&self, leg: LegId) -> u16 {
        let told = self.office.commands.iter().rev().find_map(|command| match &command.kind {
            LegCommandKind::Reoffer { media } if command.leg == leg => Some(media.rtp.port()),
            _ => None,
        });
        told.expect("it was told something")
    }

    /// What the shell does when all are there.
    fn carry_out(&mut self, command: &CallCommand) -> Result<(), CommandError> {
        let (gathering, outcome) = self.office.gathered.remove(0);
        let done = outcome.and_then(|()| {
            let (from, to) = (Routing::default(), Routing::default());
            let (_, step) = self.office.shard.handle_command(command, [1; 32], from, to, self.office.now)?;
            self.office.take(step);
            Ok(())
        });
        let step = self.office.shard.end_gathering(gathering);
        self.office.take(step);
        done
    }

    fn call(&self, leg: LegId) -> CallId {
        self.office.leg(leg).call
    }
}

#[test]
fn two_calls_become_one_when_the_phone_has_taken_the_new_port() {
    let mut it = Parted::new();
    let may = it.office.shard.fold().capabilities(it.active);
    assert!(may.contains(Capability::Merge) && may.contains(Capability::Transfer));
    let refused = it.office.does(it.merge());
    assert_eq!(refused, Err(CommandError::OnTwoNodes), "not before they are together");
    let command = it.begin(it.merge());
    assert_eq!(it.office.leg(it.ben).node.as_ref().unwrap().0, it.office.nodes[0].node);
    it.goes_there(it.ben);
    assert!(connects(&it.office.serve()).is_empty(), "nothing is changed before it is done");
    it.carry_out(&command).unwrap();
    let asked = it.office.requests.clone();
    let released = (it.office.nodes[0].node.clone(), MediaRequest::ReleaseLeg { leg: it.ben });
    assert!(asked.contains(&released), "its old port stays open: {asked:?}");
    let heard = it.office.heard();
    let mix = it.office.leg(it.ben).conference.expect("the three talk");
    for leg in [it.active, it.ben, it.cid] {
        assert!(heard.contains(&(leg, Connection::Mix(mix))), "{heard:?}");
        assert_eq!(it.office.leg(leg).node.as_ref().unwrap().0, it.office.nodes[1].node);
    }
    assert_eq!(it.office.end_of(it.held), Some(Cause::Diverted));
    // Told again, it is answered as the first time.
    assert!(it.office.shard.gather(&command, it.office.now).is_none());
    it.office.hang_up_as_told();
    assert_eq!(it.call(it.ben), it.call(it.cid));
}

#[test]
fn a_phone_that_refuses_leaves_both_calls_as_they_were() {
    let mut it = Parted::new();
    let before = it.office.shard.fold().clone();
    let command = it.begin(it.merge());
    let why = Termination::new(Cause::ProtocolError).with_sip_status(488);
    it.office.signal(it.ben, LegSignalKind::ReofferRefused(why));
    assert_eq!(it.carry_out(&command), Err(CommandError::MoveRefused));
    let asked = it.office.serve();
    assert_eq!(asked, [MediaRequest::ReleaseLeg { leg: it.ben }]);
    assert_eq!(*it.office.shard.fold(), before);
    // And they can be used on.
    it.office.does(CallCommandKind::Alternate { active: it.active, held: it.held }).unwrap();
    assert!(it.office.heard().contains(&(it.held, Connection::Peer(it.ben))));
}

#[test]
fn a_transfer_brings_the_others_to_the_call_that_goes_on() {
    let mut it = Parted::new();
    let command = it.begin(CallCommandKind::TransferAttended { active: it.active, held: it.held });
    // cid goes to where ben is; the nodes are the other way round here.
    assert_eq!(it.told(it.cid), NEW_PORT);
    it.office.signal(it.cid, LegSignalKind::Reanswered { media: media() });
    it.office.serve();
    it.carry_out(&command).unwrap();
    let heard = it.office.heard();
    let together = [(it.ben, Connection::Peer(it.cid)), (it.cid, Connection::Peer(it.ben))];
    assert!(together.iter().any(|one| heard.contains(one)), "{heard:?}");
    assert_eq!(it.office.leg(it.cid).node.as_ref().unwrap().0, it.office.nodes[0].node);
}

#[test]
fn whoever_has_gone_there_for_nothing_is_led_back() {
    let mut it = Parted::new();
    let command = it.begin(it.merge());
    it.goes_there(it.ben);
    // Meanwhile ada has ended the call in which she talked.
    it.office.signal(it.active, ended(Cause::Normal, 200));
    assert!(it.carry_out(&command).is_err());
    assert_eq!(it.told(it.ben), media().rtp.port());
    assert!(it.office.serve().contains(&MediaRequest::ReleaseLeg { leg: it.ben }));
    for _ in 0..3 {
        let why = Termination::new(Cause::ProtocolError).with_sip_status(500);
        it.office.signal(it.ben, LegSignalKind::ReofferRefused(why));
        assert_eq!(it.office.end_of(it.ben), None, "it is asked again");
    }
    let why = Termination::new(Cause::ProtocolError).with_sip_status(500);
    it.office.signal(it.ben, LegSignalKind::ReofferRefused(why));
    assert_eq!(it.office.end_of(it.ben), Some(Cause::ProtocolError), "nobody would hear it");
}

#[test]
fn a_phone_that_says_nothing_is_not_waited_for() {
    let mut it = Parted::new();
    let command = it.begin(it.merge());
    it.office.pass(7);
    assert!(it.office.gathered.is_empty());
    it.office.pass(2);
    assert_eq!(it.carry_out(&command), Err(CommandError::MoveRefused));
    assert_eq!(it.told(it.ben), media().rtp.port(), "it may have answered, and the answer be lost");
}

#[test]
fn a_phone_that_changes_its_session_itself_is_answered_from_its_old_port() {
    let mut it = Parted::new();
    let command = it.begin(it.merge());
    it.office.signal(it.ben, LegSignalKind::Reoffered { media: Some(media()) });
    assert!(it.carry_out(&command).is_err());
    it.office.serve();
    let kinds = it.office.kinds(it.ben);
    assert_eq!(kinds[kinds.len() - 3..], ["reoffer", "reoffer", "reoffer taken"]);
    assert_eq!(it.told(it.ben), media().rtp.port());
}

#[test]
fn after_a_restart_in_between_the_phone_is_led_back() {
    let mut it = Parted::new();
    let _command = it.begin(it.merge());
    it.office.restart();
    let all = [it.held, it.ben, it.active, it.cid];
    it.office.hello(it.office.boot, &all);
    it.office.node_holds(&[held(it.held), HeldMedia { local: Some(media()), ..held(it.ben) }]);
    assert_eq!(it.told(it.ben), media().rtp.port());
    it.office.restart();
    it.office.hello(it.office.boot, &all);
    it.office.node_holds(&[held(it.held), held(it.ben)]);
    assert!(it.office.kinds(it.ben).is_empty(), "it is told once");
}

#[test]
fn a_phone_connects_its_two_calls_itself() {
    let mut it = Parted::new();
    let to = Target { number: "cid".into(), own: true };
    it.office.signal(it.held, LegSignalKind::Referred(Referred { to, replaces: Some(it.active) }));
    assert_eq!(it.office.kinds(it.held).last(), Some(&"refer: accepted"));
    it.office.serve();
    it.office.signal(it.cid, LegSignalKind::Reanswered { media: media() });
    it.office.serve();
    let kinds = it.office.kinds(it.held);
    assert_eq!(kinds[kinds.len() - 2..], ["refer: succeeded", "end"]);
    assert_eq!(it.office.leg(it.ben).peer, Some(it.cid));
}

#[test]
fn a_phone_hears_that_its_two_calls_could_not_be_connected() {
    let mut it = Parted::new();
    let to = Target { number: "cid".into(), own: true };
    it.office.signal(it.held, LegSignalKind::Referred(Referred { to, replaces: Some(it.active) }));
    it.office.serve();
    let why = Termination::new(Cause::ProtocolError).with_sip_status(488);
    it.office.signal(it.cid, LegSignalKind::ReofferRefused(why));
    let told = it.office.commands.iter().rev().find_map(|command| match &command.kind {
        LegCommandKind::Referral(ReferralState::Failed(why)) => Some(why.cause),
        _ => None,
    });
    assert_eq!(told, Some(Cause::Unavailable));
    assert_eq!(it.office.end_of(it.held), None);
}

#[test]
fn the_recording_of_the_call_that_goes_on_takes_in_who_comes_and_the_other_ends() {
    let mut it = Parted::new();
    let place = it.office.log.len();
    let (of_held, of_active) = {
        let kind = |call| CallCommandKind::StartRecording { call, options: kit::stereo() };
        let refused = it.office.does(kind(it.call(it.held)));
        assert!(refused.is_err(), "a held call has nothing to record: {refused:?}");
        it.office.does(CallCommandKind::Alternate { active: it.active, held: it.held }).unwrap();
        let first = it.office.does(kind(it.call(it.held))).unwrap();
        it.office.does(CallCommandKind::Alternate { active: it.held, held: it.active }).unwrap();
        (first, it.office.does(kind(it.call(it.active))).unwrap())
    };
    it.office.serve();
    let command = it.begin(it.merge());
    it.goes_there(it.ben);
    it.carry_out(&command).unwrap();
    let asked = it.office.serve();
    let taken_in = |request: &MediaRequest| match request {
        MediaRequest::StartRecording { legs, .. } => legs.contains(&it.ben),
        _ => false,
    };
    assert!(asked.iter().any(taken_in), "{asked:?}");
    it.office.hang_up_as_told();
    let asked = it.office.serve();
    assert!(asked.iter().any(|request| matches!(request, MediaRequest::StopRecording { .. })), "{asked:?}");
    let sidetone_model::fact::CommandSubject::Recording(first) = of_held else { panic!("{of_held:?}") };
    it.office.finish_recording(first);
    let ended = |kind: &&&FactKind| matches!(kind, FactKind::RecordingFinished { .. });
    assert_eq!(it.office.happened_since(place).iter().filter(ended).count(), 1);
    let sidetone_model::fact::CommandSubject::Recording(second) = of_active else { panic!("{of_active:?}") };
    assert_eq!(*it.office.recording(second), RecordingPhase::Running);
}

/// A recording is on one node: what is said on the other one goes into another recording of the same kind.
#[test]
fn what_was_recorded_and_streamed_on_one_node_goes_on_on_the_other() {
    use sidetone_model::command::RecordingOptions;
    use sidetone_model::fact::CommandSubject;
    use sidetone_model::media::FileFormat;
    let mut it = Parted::new();
    it.office.does(CallCommandKind::Alternate { active: it.active, held: it.held }).unwrap();
    let call = it.call(it.held);
    let options = RecordingOptions { format: FileFormat::Flac, name: "talk".into(), ..Default::default() };
    let kind = CallCommandKind::StartRecording { call, options };
    let Ok(CommandSubject::Recording(first)) = it.office.does(kind) else { panic!("not recorded") };
    let pause = CallCommandKind::PauseRecording { recording: first, mask: true };
    it.office.does(pause).unwrap();
    let kind = CallCommandKind::StartStream { call, format: FileFormat::L16 };
    let Ok(CommandSubject::Stream(stream)) = it.office.does(kind) else { panic!("not streamed") };
    it.office.does(CallCommandKind::Alternate { active: it.held, held: it.active }).unwrap();
    it.office.serve();
    let command = it.begin(it.merge());
    it.goes_there(it.ben);
    it.carry_out(&command).unwrap();
    let asked = it.office.serve();
    let view = it.office.shard.fold().running_recording(it.call(it.ben)).unwrap().clone();
    assert_ne!(view.recording, first);
    assert_eq!((&view.node, view.format, &*view.name), (&it.office.nodes[1].node, FileFormat::Flac, "talk"));
    assert_eq!((&view.phase, view.mask), (&RecordingPhase::Paused, true), "it is paused there, too");
    let of_new = |request: &&MediaRequest| match request {
        MediaRequest::StartRecording { recording, .. } | MediaRequest::PauseRecording { recording, .. } => {
            *recording == view.recording
        }
        _ => false,
    };
    let first_two: Vec<_> = asked.iter().filter(of_new).take(2).collect();
    assert!(
        matches!(
            first_two[..],
            [MediaRequest::StartRecording { .. }, MediaRequest::PauseRecording { pause: Some(_), .. }]
        ),
        "{asked:?}"
    );
    assert!(asked.contains(&MediaRequest::StopRecording { recording: first }), "{asked:?}");
    let before = it.office.shard.fold().recording(first).unwrap();
    assert_eq!((before.stopping, before.into), (true, Some(view.recording)));
    // The stream has its name, and so its URL, on the other node; what the first one tells of its end is not the end.
    let here = it.office.shard.fold().stream(stream).unwrap().clone();
    assert_eq!((here.node, here.call), (it.office.nodes[1].node.clone(), it.call(it.ben)));
    let everybody = |request: &&MediaRequest| matches!(request, MediaRequest::StartStream { stream: of, legs, .. } if *of == stream && legs.len() == 3);
    assert!(asked.iter().any(|request| everybody(&request)), "{asked:?}");
    let old = it.office.nodes[0].node.clone();
    let step = it.office.shard.handle_stream_ended(&old, stream, it.office.now);
    it.office.take(step);
    assert!(it.office.shard.fold().stream(stream).is_some());
    let new = it.office.nodes[1].node.clone();
    let step = it.office.shard.handle_stream_ended(&new, stream, it.office.now);
    it.office.take(step);
    assert!(it.office.shard.fold().stream(stream).is_none());
}

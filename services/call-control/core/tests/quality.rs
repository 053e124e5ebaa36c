//! How a leg sounded comes into the log when its node lets go of it, and from there into a record.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended};
use sidetone_call_core::{MediaReply, MediaRequest};
use sidetone_model::call::LegQuality;
use sidetone_model::fact::{Fact, FactKind};
use sidetone_model::fold::{Cdr, CdrKind};
use sidetone_model::ids::LegId;
use sidetone_model::termination::Cause;

fn quality() -> LegQuality {
    LegQuality {
        packets_received: 500,
        packets_lost: 3,
        mean_opinion_hundredths: 431,
        ..LegQuality::default()
    }
}

fn measured(office: &Office) -> Vec<&Fact> {
    let facts = office.log.iter().flat_map(|record| &record.facts);
    facts.filter(|fact| matches!(fact.kind, FactKind::LegMeasured { .. })).collect()
}

/// The node of a leg answers its release, whether or not it was asked yet.
fn released(office: &mut Office, leg: LegId, quality: Option<LegQuality>) {
    let node = office.nodes[0].node.clone();
    let reply = MediaReply::Released { quality: quality.map(Box::new) };
    let step = office.shard.handle_media(&node, MediaRequest::ReleaseLeg { leg }, Ok(reply), office.now);
    office.take(step);
}

#[test]
fn a_leg_that_ended_is_measured_once_and_has_a_record_of_quality() {
    let mut office = Office::new();
    let (caller, _) = office.connect("alice", "bob");
    office.signal(caller, ended(Cause::Normal, 200));
    assert!(office.requests.iter().any(|(_, request)| *request == MediaRequest::ReleaseLeg { leg: caller }));
    released(&mut office, caller, Some(quality()));
    // The release is repeated after a change of owner, and finds nothing.
    released(&mut office, caller, None);
    let facts = measured(&office);
    assert_eq!(facts.len(), 1);
    let record = Cdr::project(facts[0], office.shard.fold()).unwrap();
    assert_eq!((record.kind, record.leg), (CdrKind::Quality, Some(caller)));
    assert_eq!(record.quality.as_deref(), Some(&quality()));
    assert_eq!(record.termination.cause, Cause::Normal);
}

#[test]
fn a_leg_that_lives_is_not_measured() {
    let mut office = Office::new();
    let (caller, _) = office.connect("alice", "bob");
    released(&mut office, caller, Some(quality()));
    assert_eq!(measured(&office).len(), 0);
}

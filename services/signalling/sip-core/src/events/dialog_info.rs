//! The documents of the `dialog` package (RFC 4235): what a user's phones are doing, for the lamps of others' phones.
//!
//! Every document is a full one: a phone that has missed one has missed nothing. A call that has ended is told once more, as
//! `terminated`, because some phones put their lamp out by nothing else.
//!
//! Real Call-IDs and tags are not told. In their place stands the id of the leg, by which a watcher may take a call that still rings
//! (`Replaces`, RFC 3891); for nothing else is it good.

use std::fmt::Write as _;

use sidetone_model::ids::LegId;
use sidetone_model::watch::{DialogPhase, RemoteParty, UserDialog};

use crate::uri::SipUri;

/// The document with a version, of the calls that there are and of those that were told before and are over.
pub(crate) fn dialog_info(
    entity: &SipUri,
    version: u32,
    now: &[UserDialog],
    before: &[UserDialog],
) -> String {
    let whom = escaped(&entity.to_string());
    let mut out = format!(
        "<?xml version=\"1.0\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" \
         state=\"full\" entity=\"{whom}\">\r\n"
    );
    let over = before.iter().filter(|old| !now.iter().any(|dialog| dialog.leg == old.leg));
    let live = told_of(now).iter().map(|dialog| (dialog, phase(dialog.phase)));
    for (dialog, state) in live.chain(over.map(|dialog| (dialog, "terminated"))) {
        write_dialog(&mut out, entity, &whom, dialog, state);
    }
    out.push_str("</dialog-info>\r\n");
    out
}

/// Those that are told: the oldest, so that each is told until its end.
pub(super) fn told_of(now: &[UserDialog]) -> &[UserDialog] {
    &now[..now.len().min(DIALOGS_TOLD_MAX)]
}

fn write_dialog(out: &mut String, entity: &SipUri, whom: &str, dialog: &UserDialog, state: &str) {
    let (leg, direction) = (dialog.leg, if dialog.initiator { "initiator" } else { "recipient" });
    // Writing to a string does not fail.
    let _infallible = write!(
        out,
        "<dialog id=\"{leg}\" call-id=\"{leg}\" local-tag=\"{LOCAL_TAG}\" remote-tag=\"{REMOTE_TAG}\" \
         direction=\"{direction}\">\r\n<state>{state}</state>\r\n\
         <local><identity>{whom}</identity><target uri=\"{whom}\"/></local>\r\n"
    );
    if let Some((uri, display)) = dialog.remote.as_ref().and_then(|remote| named(entity, remote)) {
        let _infallible =
            write!(out, "<remote><identity{display}>{uri}</identity><target uri=\"{uri}\"/></remote>\r\n");
    }
    out.push_str("</dialog>\r\n");
}

/// Who is at the other end: an address in the watched user's domain, and the name as an attribute.
fn named(entity: &SipUri, remote: &RemoteParty) -> Option<(String, String)> {
    let uri = SipUri::sip(&remote.number, &entity.host()).ok()?;
    let display = match &*remote.display_name {
        "" => String::new(),
        name => format!(" display=\"{}\"", escaped(name)),
    };
    Some((escaped(&uri.to_string()), display))
}

fn phase(phase: DialogPhase) -> &'static str {
    match phase {
        DialogPhase::Trying => "trying",
        DialogPhase::Early => "early",
        DialogPhase::Confirmed => "confirmed",
    }
}

/// The leg that a Call-ID and a tag of such a document name; none when they are of no such document.
pub(crate) fn leg_named(call_id: &str, has_tag: impl Fn(&str) -> bool) -> Option<LegId> {
    call_id.parse().ok().filter(|_| has_tag(LOCAL_TAG) && has_tag(REMOTE_TAG))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // XML 1.0 has no place for them.
            control if control.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

/// Live calls in one document at most, beside those that are over. A lamp needs no more, and a datagram takes no more.
const DIALOGS_TOLD_MAX: usize = 8;
/// In place of the tags of the dialog.
const LOCAL_TAG: &str = "watched";
const REMOTE_TAG: &str = "sidetone";

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_model::ids::IdSource;
    use sidetone_model::time::Timestamp;

    #[test]
    fn a_document_names_state_direction_and_the_other_side_and_is_xml() {
        let mut ids = IdSource::seeded([1; 32]);
        let mut dialog = |phase, remote: Option<(&str, &str)>| UserDialog {
            leg: ids.make(Timestamp::from_millis(1)),
            initiator: phase == DialogPhase::Trying,
            phase,
            remote: remote
                .map(|(number, name)| RemoteParty { number: number.into(), display_name: name.into() }),
        };
        let (rings, calls) = (
            dialog(DialogPhase::Early, Some(("1001", "A&B <\"x\">\r\n"))),
            dialog(DialogPhase::Trying, None),
        );
        let over = dialog(DialogPhase::Confirmed, Some(("1009", "")));
        let entity = SipUri::parse("sip:1002@acme.example").unwrap();
        let text = dialog_info(&entity, 4, &[rings.clone(), calls.clone()], &[over.clone(), rings.clone()]);
        assert!(text.contains("version=\"4\" state=\"full\" entity=\"sip:1002@acme.example\""), "{text}");
        assert!(
            text.contains("display=\"A&amp;B &lt;&quot;x&quot;&gt;\">sip:1001@acme.example</identity>"),
            "{text}"
        );
        let states: Vec<_> = text.lines().filter(|line| line.starts_with("<state>")).collect();
        assert_eq!(states, ["<state>early</state>", "<state>trying</state>", "<state>terminated</state>"]);
        assert_eq!(text.matches("<remote>").count(), 2, "who is not to be named is not: {text}");
        assert_eq!(text.matches("direction=\"initiator\"").count(), 1);
        assert_eq!(
            leg_named(&rings.leg.to_string(), |tag| ["watched", "sidetone"].contains(&tag)),
            Some(rings.leg)
        );
        assert_eq!(leg_named(&rings.leg.to_string(), |tag| tag == "other"), None);
        assert_eq!(leg_named("some@host", |_| true), None);
    }
}

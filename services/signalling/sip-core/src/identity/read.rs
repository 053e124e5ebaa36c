//! What an INVITE says of its caller.

use super::{ANONYMOUS, ANONYMOUS_HOST, ASSERTED, PREFERRED, REMOTE_PARTY, TRUSTED, is};
use crate::message::Request;
use crate::uri::NameAddr;

/// How much of an INVITE's header fields is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Header fields.
    pub count_max: usize,
    /// Bytes of their names and values.
    pub bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { count_max: 20, bytes_max: 2048 }
    }
}

/// Who calls, as far as that is believed. `Debug` shows no number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The number or user part under which the caller may be shown.
    pub number: Box<str>,
    /// The display name; empty when there is none.
    pub display_name: Box<str>,
    /// The caller wants not to be named to the other side.
    pub anonymous: bool,
    /// What others may want, in its order.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Header fields left out because of the bounds.
    pub left_out: usize,
    /// Header fields left out because their sender is not believed.
    pub distrusted: usize,
}

impl std::fmt::Debug for CallerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CallerIdentity(anonymous: {}, {} headers)", self.anonymous, self.headers.len())
    }
}

/// Reads what `invite` says of its caller. `trusted`: it came from within the trust domain (RFC 3325, section 2.3), so that
/// its assertions are believed; the number of a caller who wants to be anonymous then stands in `headers` and nowhere else.
pub fn read(invite: &Request, trusted: bool, bounds: Bounds) -> CallerIdentity {
    let from = invite.from();
    let remote_party = invite.headers_named(REMOTE_PARTY);
    let remote_party = remote_party.iter().filter(|_| trusted).find_map(|value| calling_party(value));
    let anonymous = wants_privacy(invite) || remote_party.as_ref().is_some_and(is_restricted);
    let asserted = match trusted {
        true => asserted_in(&invite.headers_named(ASSERTED)).or(remote_party),
        false => None,
    };
    let shown = asserted.as_ref().unwrap_or(from);
    let mut identity = CallerIdentity {
        number: shown.uri.number().into(),
        display_name: shown.display_name.clone(),
        anonymous,
        ..CallerIdentity::default()
    };
    if anonymous {
        identity.number = ANONYMOUS.into();
        identity.display_name = "".into();
    }
    identity.collect(invite, trusted, bounds);
    identity
}

/// The number under which a user would like to be shown (P-Preferred-Identity, RFC 3325, section 9.2); it must still be one
/// of its own.
pub fn preferred_number(invite: &Request) -> Option<String> {
    asserted_in(&invite.headers_named(PREFERRED)).map(|address| address.uri.number())
}

/// The first address of P-Asserted-Identity that is of use: one SIP and one tel URI may be there (RFC 3325, section 9.1).
pub(super) fn asserted_in(values: &[impl AsRef<str>]) -> Option<NameAddr> {
    let addresses = values.iter().filter_map(|value| NameAddr::parse_list(value.as_ref()).ok()).flatten();
    addresses.into_iter().find(|address| !address.uri.number().is_empty())
}

fn calling_party(value: &str) -> Option<NameAddr> {
    let mut addresses = NameAddr::parse_list(value).ok()?.into_iter();
    addresses.find(|address| {
        let party = address.param("party").unwrap_or("calling");
        party.eq_ignore_ascii_case("calling") && !address.uri.number().is_empty()
    })
}

/// Of the draft that Remote-Party-ID comes from: `full` and `uri` hide the number.
fn is_restricted(remote_party: &NameAddr) -> bool {
    remote_party.param("privacy").is_some_and(|privacy| is(privacy, &["full", "uri", "yes"]))
}

/// RFC 3323, section 4.2, and RFC 3325, section 9.3. What `header` and `session` ask for is done for every call: nothing
/// of the caller's topology and media addresses gets through.
fn wants_privacy(invite: &Request) -> bool {
    let values = invite.headers_named("Privacy").join(";");
    let mut wanted = values.split([';', ',']).map(str::trim);
    let from = &invite.from().uri;
    let hidden = from.host() == ANONYMOUS_HOST || from.user().eq_ignore_ascii_case(ANONYMOUS);
    // `none` forbids services of privacy; a From that names nobody remains one.
    wanted.any(|value| is(value, &["user", "id"])) || hidden
}

impl CallerIdentity {
    /// What is asserted comes first into the bounds, so that nothing else can push it out.
    fn collect(&mut self, invite: &Request, trusted: bool, bounds: Bounds) {
        let all = invite.headers_where(|name| is_asserted(name) || is_hint(name));
        let (mut count, mut bytes) = (bounds.count_max, bounds.bytes_max);
        let mut taken = vec![false; all.len()];
        for wanted in [is_asserted, is_hint] {
            for (at, (name, value)) in all.iter().enumerate().filter(|(_, (name, _))| wanted(name)) {
                if is(name, &TRUSTED) && !trusted {
                    self.distrusted += 1;
                    continue;
                }
                let size = name.len() + value.len();
                if count == 0 || size > bytes {
                    self.left_out += 1;
                    continue;
                }
                count -= 1;
                bytes -= size;
                taken[at] = true;
            }
        }
        let kept = all.into_iter().zip(taken).filter(|(_, taken)| *taken);
        self.headers = kept.map(|((name, value), _)| (name.into(), value.into())).collect();
    }
}

fn is_asserted(name: &str) -> bool {
    is(name, &TRUSTED)
}

/// What an application may want to see, and nobody has to believe.
fn is_hint(name: &str) -> bool {
    let prefixed = |prefix: &str| {
        name.len() > prefix.len() && name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let named = prefixed("X-") || prefixed("P-") || is(name, &["Referred-By", "Subject"]);
    named && !is_asserted(name) && !is(name, &[PREFERRED])
}

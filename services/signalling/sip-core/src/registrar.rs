//! Registrations (RFC 3261 section 10.3): what a REGISTER makes of the bindings of one address-of-record.
//!
//! A contact without `+sip.instance` is known by its URI. A phone that has moved (a new port after its connection broke) registers
//! another URI under the Call-ID that it has used all the time (section 10.2.4): what it had registered under that and does not
//! name any more is gone. Phones that want several contacts name them in one REGISTER, or are several.
//!
//! Pure: the shell loads the bindings, gives them in, and stores what comes out by compare-and-swap.

use std::time::Duration;

use sidetone_model::classify::{Class, Classify};
use sidetone_model::party::Flow;
use sidetone_model::time::Timestamp;

use crate::message::{Contact, Request, Response, ResponseBuilder, Status};
use crate::uri::{NameAddr, SipUri};

/// One contact under which a device can be reached. `Debug` shows no address of record.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactBinding {
    /// The Contact URI as the device wrote it.
    pub uri: Box<str>,
    /// `+sip.instance` (RFC 5626 section 4.1), by which a device is known again after it moved; empty when absent.
    pub instance: Box<str>,
    /// `reg-id` (RFC 5626 section 4.2); 0 when absent.
    pub reg_id: u32,
    /// The Call-ID of the REGISTER that made it.
    pub call_id: Box<str>,
    /// Its CSeq number.
    pub cseq: u32,
    /// Until when it holds.
    pub expires_at: Timestamp,
    /// The flow over which it was made and over which the device is reached.
    pub flow: Flow,
    /// The device's User-Agent; empty when it did not say.
    pub user_agent: Box<str>,
    /// How much the device wants to be reached here, in thousandths, 0 to 1000 (`q`, RFC 3261 section 20.10).
    pub q_thousandths: u16,
    /// The proxies between us and the device, the first first (Path, RFC 3327).
    pub path: Vec<Box<str>>,
}

impl std::fmt::Debug for ContactBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContactBinding(cseq {} until {:?})", self.cseq, self.expires_at)
    }
}

/// What a registrar allows.
#[derive(Debug, Clone, Copy)]
pub struct RegistrarPolicy {
    /// Shortest time that is granted; less is refused with 423.
    pub expires_min_s: u32,
    /// Longest time that is granted; more is cut to it.
    pub expires_max_s: u32,
    /// What is granted when the device does not say.
    pub expires_default_s: u32,
    /// Most contacts of one address-of-record.
    pub contacts_max: usize,
}

impl Default for RegistrarPolicy {
    fn default() -> Self {
        Self { expires_min_s: 60, expires_max_s: 3600, expires_default_s: 3600, contacts_max: 10 }
    }
}

/// What is to be stored and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// All bindings that hold from now on, in the order of their making.
    pub bindings: Vec<ContactBinding>,
    /// Those that were removed, replaced by the same device, or had expired.
    pub removed: Vec<ContactBinding>,
    /// Whether anything must be stored: a REGISTER without Contact only asks.
    pub changed: bool,
}

/// Why a REGISTER is refused. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// A Contact that is none, is no SIP URI, or `*` together with others or with an Expires other than 0.
    #[error("a malformed Contact or Expires")]
    BadContact,
    /// The time asked for is below the least.
    #[error("the time asked for is too short")]
    TooBrief {
        /// What would be granted at least, in seconds.
        min_expires_s: u32,
    },
    /// An older REGISTER came after a newer one of the same Call-ID.
    #[error("an older REGISTER came after a newer one")]
    OutOfOrder,
    /// No more contacts are allowed.
    #[error("too many contacts")]
    TooMany,
    /// The tenant has as many contacts as it may have.
    #[error("the tenant has as many contacts as it may have")]
    TenantFull,
}

impl Classify for RegisterError {
    fn class(&self) -> Class {
        match self {
            Self::BadContact | Self::TooBrief { .. } => Class::Invalid,
            Self::OutOfOrder => Class::Conflict,
            Self::TooMany | Self::TenantFull => Class::Exhausted,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::BadContact => "bad_contact",
            Self::TooBrief { .. } => "too_brief",
            Self::OutOfOrder => "out_of_order",
            Self::TooMany => "too_many_contacts",
            Self::TenantFull => "tenant_full",
        }
    }
}

impl RegisterError {
    /// The refusal of `register`.
    pub fn response(&self, register: &Request, to_tag: &str) -> Response {
        let builder = |status| ResponseBuilder::new(register, status, to_tag);
        match self {
            Self::TooBrief { min_expires_s } => {
                builder(Status::INTERVAL_TOO_BRIEF).header("Min-Expires", min_expires_s.to_string()).build()
            }
            other => {
                let cause = other.class().cause();
                let status = Status::new(cause.sip_status()).unwrap_or(Status::SERVER_INTERNAL_ERROR);
                builder(status)
                    .header_opt("Retry-After", cause.retry_after_s().map(|seconds| seconds.to_string()))
                    .build()
            }
        }
    }
}

impl Registration {
    /// The 200 with every binding and the seconds it has left (RFC 3261 section 10.3, step 8), the Path that is kept (RFC 3327
    /// section 5.3), and whether the device may open further flows (RFC 5626 section 6); then also how long its flow may be silent.
    pub fn response(
        &self,
        register: &Request,
        to_tag: &str,
        flow_timer_s: Option<u64>,
        now: Timestamp,
    ) -> Response {
        let ok = ResponseBuilder::new(register, Status::OK, to_tag)
            .copy("Path", register)
            .header("Supported", "path, outbound");
        let ok = match wants_outbound(register) {
            true => ok
                .header("Require", "outbound")
                .header_opt("Flow-Timer", flow_timer_s.map(|seconds| seconds.to_string())),
            false => ok,
        };
        self.bindings.iter().fold(ok, |ok, binding| ok.header("Contact", contact_value(binding, now))).build()
    }
}

/// What `register`, which came over `flow` and is authenticated, makes of the `current` bindings.
///
/// # Errors
/// When it is refused; no part of it is carried out then (section 10.3: all or nothing).
pub fn process(
    current: &[ContactBinding],
    register: &Request,
    flow: &Flow,
    policy: &RegistrarPolicy,
    now: Timestamp,
) -> Result<Registration, RegisterError> {
    let (mut bindings, mut removed): (Vec<_>, Vec<_>) =
        current.iter().cloned().partition(|binding| binding.expires_at > now);
    let contacts = register.contacts().map_err(|_| RegisterError::BadContact)?;
    let present = bindings.len();
    let mut changed = !removed.is_empty();
    if contacts.iter().any(|contact| matches!(contact, Contact::Wildcard)) {
        // Step 6.
        if contacts.len() != 1 || register.expires_s() != Some(0) {
            return Err(RegisterError::BadContact);
        }
        for binding in &bindings {
            check_order(binding, register)?;
        }
        removed.append(&mut bindings);
        return Ok(Registration { changed: !removed.is_empty(), bindings, removed });
    }
    let path = path_of(register)?;
    for contact in &contacts {
        let Contact::Address(contact) = contact else { continue };
        let expires_s = granted(contact, register, policy)?;
        let mut wanted = Wanted::read(contact, expires_s, register, flow, now)?;
        wanted.binding.path.clone_from(&path);
        let known = bindings.iter().position(|binding| wanted.replaces(binding));
        if let Some(at) = known {
            let before = bindings.remove(at);
            // One that this REGISTER has just made is in no order with it.
            if current.contains(&before) {
                check_order(&before, register)?;
            }
            if expires_s == 0 || before.uri != wanted.binding.uri || before.flow != wanted.binding.flow {
                removed.push(before);
            }
        }
        changed = changed || known.is_some() || expires_s > 0;
        if expires_s > 0 {
            bindings.push(wanted.binding);
        }
    }
    // One that was overtaken by a REGISTER from where the phone is now.
    if bindings.iter().any(|binding| is_moving(binding, register) && binding.cseq > register.cseq()) {
        return Err(RegisterError::OutOfOrder);
    }
    let made_one =
        bindings.iter().any(|binding| is_moving(binding, register) && binding.cseq == register.cseq());
    if made_one {
        let (left, stay) = bindings
            .into_iter()
            .partition(|binding| is_moving(binding, register) && binding.cseq < register.cseq());
        bindings = stay;
        removed.extend::<Vec<_>>(left);
    }
    // A device that has more, because the limit was higher, may refresh and take back what it has.
    if bindings.len() > policy.contacts_max.max(present) {
        return Err(RegisterError::TooMany);
    }
    Ok(Registration { bindings, removed, changed })
}

/// Whether a binding belongs to the phone that speaks, and is one that it may have left.
fn is_moving(binding: &ContactBinding, register: &Request) -> bool {
    binding.instance.is_empty() && *binding.call_id == *register.call_id()
}

/// Step 7: within one Call-ID only a higher CSeq number may change a binding.
fn check_order(binding: &ContactBinding, register: &Request) -> Result<(), RegisterError> {
    let older = *binding.call_id == *register.call_id() && register.cseq() <= binding.cseq;
    if older { Err(RegisterError::OutOfOrder) } else { Ok(()) }
}

/// The time granted: the contact's own, else the header's, else the default (section 10.2.1.1).
fn granted(contact: &NameAddr, register: &Request, policy: &RegistrarPolicy) -> Result<u32, RegisterError> {
    let asked = contact
        .param("expires")
        // A value that is no number is as if it were not there (section 10.2.1.1).
        .and_then(|text| text.parse::<u32>().ok())
        .or_else(|| register.expires_s())
        .unwrap_or(policy.expires_default_s);
    if asked != 0 && asked < policy.expires_min_s {
        return Err(RegisterError::TooBrief { min_expires_s: policy.expires_min_s });
    }
    Ok(asked.min(policy.expires_max_s))
}

/// RFC 3327 section 5.3. What is kept goes out as Route with every call, so it is bounded.
fn path_of(register: &Request) -> Result<Vec<Box<str>>, RegisterError> {
    let mut path: Vec<Box<str>> = Vec::new();
    for line in register.headers_named("Path") {
        let hops = NameAddr::parse_list(&line).map_err(|_| RegisterError::BadContact)?;
        path.extend(hops.iter().map(|hop| hop.to_string().into()));
    }
    let bytes: usize = path.iter().map(|hop| hop.len()).sum();
    if path.len() > PATH_MAX || bytes > PATH_BYTES_MAX {
        return Err(RegisterError::BadContact);
    }
    Ok(path)
}

/// Whether the device asks for RFC 5626: it names its flow and knows the extension (section 4.2.1).
fn wants_outbound(register: &Request) -> bool {
    let contacts = register.contacts().unwrap_or_default();
    let named = contacts.iter().any(|contact| match contact {
        Contact::Address(address) => address.param("reg-id").is_some(),
        Contact::Wildcard => false,
    });
    named && register.lists("Supported", "outbound")
}

/// `q = 0.000 to 1.000` (RFC 3261 section 25.1); what is not such a number is as if it were not there.
fn q_of(contact: &NameAddr) -> u16 {
    let q = contact.param("q").and_then(|text| text.parse::<f32>().ok()).filter(|q| (0.0..=1.0).contains(q));
    q.map_or(1000, |q| (q * 1000.0).round() as u16)
}

struct Wanted {
    uri: SipUri,
    binding: ContactBinding,
}

impl Wanted {
    fn read(
        contact: &NameAddr,
        expires_s: u32,
        register: &Request,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<Self, RegisterError> {
        let text = contact.uri.to_string();
        if !contact.uri.is_sip() || text.len() > URI_BYTES_MAX {
            return Err(RegisterError::BadContact);
        }
        let binding = ContactBinding {
            uri: text.into(),
            instance: contact.param("+sip.instance").unwrap_or_default().into(),
            // Without an instance it means nothing (RFC 5626 section 6).
            reg_id: match contact.param("+sip.instance") {
                Some(_) => contact.param("reg-id").and_then(|text| text.parse().ok()).unwrap_or(0),
                None => 0,
            },
            call_id: register.call_id().into(),
            cseq: register.cseq(),
            expires_at: now + Duration::from_secs(u64::from(expires_s)),
            flow: flow.clone(),
            user_agent: register.user_agent().unwrap_or_default().into(),
            q_thousandths: q_of(contact),
            path: Vec::new(),
        };
        Ok(Self { uri: contact.uri.clone(), binding })
    }

    /// The same device and flow number, or, where the device has no instance id, an equivalent URI. A phone that
    /// restarted behind another port is then one contact and not two.
    fn replaces(&self, other: &ContactBinding) -> bool {
        if !self.binding.instance.is_empty() && !other.instance.is_empty() {
            return self.binding.instance == other.instance && self.binding.reg_id == other.reg_id;
        }
        SipUri::parse(other.uri.as_bytes()).is_ok_and(|uri| uri.equivalent(&self.uri))
    }
}

fn contact_value(binding: &ContactBinding, now: Timestamp) -> String {
    let left_s = binding.expires_at.since(now).as_secs();
    let mut value = format!("<{}>;expires={left_s}", binding.uri);
    if binding.q_thousandths < 1000 {
        value.push_str(&format!(";q=0.{:03}", binding.q_thousandths));
    }
    if !binding.instance.is_empty() {
        let quoted = binding.instance.replace('\\', "\\\\").replace('"', "\\\"");
        value.push_str(&format!(";+sip.instance=\"{quoted}\""));
    }
    if binding.reg_id != 0 {
        value.push_str(&format!(";reg-id={}", binding.reg_id));
    }
    value
}

const URI_BYTES_MAX: usize = 512;
/// Proxies between a device and us.
const PATH_MAX: usize = 8;
const PATH_BYTES_MAX: usize = 1024;

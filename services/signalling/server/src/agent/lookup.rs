//! What must be asked of the directory before a request can be judged: short tasks whose results come back as input.

use std::time::Duration;

use sidetone_directory::{Credential, Directory, DirectoryError};
use sidetone_model::classify::{Class, Classify};
use sidetone_model::ids::{LegId, ReplicaId, TenantId};
use sidetone_model::party::{Destination, Flow};
use sidetone_proto::directory::v1::StirVerify;
use sidetone_sip_core::events::SubscribeError;
use sidetone_sip_core::message::Request;
use sidetone_sip_core::transaction::ServerTx;

use super::pick_up::Taker;
use super::registration::Stored;
use super::subscribe::Watchable;
use super::trunking::Arrival;
use crate::stir::{Asked, Stir, Verdict};

/// What came back.
#[derive(Debug)]
pub(super) enum Finding {
    Identity {
        tx: ServerTx,
        result: Result<Option<Identity>, LookupError>,
    },
    DialogStored {
        leg: LegId,
        stored: bool,
    },
    /// Where the phone of a leg whose connection is gone has registered since, best first, and what was to be sent over what; none
    /// when that waits already.
    Moved {
        leg: LegId,
        request: Option<(Flow, Box<Request>)>,
        found: Vec<(ReplicaId, Flow)>,
    },
    Stored {
        tx: ServerTx,
        result: Result<Box<Stored>, LookupError>,
    },
    Watchable {
        tx: ServerTx,
        result: Result<Result<Watchable, SubscribeError>, LookupError>,
    },
    /// Whether a subscriber may still watch whom it watches, and whether without names.
    Seen {
        id: LegId,
        seen: Result<Result<bool, SubscribeError>, LookupError>,
    },
    /// Where the phone of a subscription whose connection is gone has registered since.
    SubscriberMoved {
        id: LegId,
        found: (ReplicaId, Flow),
    },
    /// Whether a call that rings at another user's phone may be taken.
    Taking {
        tx: ServerTx,
        by: Box<Taker>,
        may: Result<bool, LookupError>,
    },
}

/// What is asked about a request outside of a dialog.
#[derive(Debug)]
pub(super) struct Question {
    /// The host of the Request-URI.
    pub(super) host: String,
    /// Realm and user name of each credential in the request.
    pub(super) usernames: Vec<(String, String)>,
    /// Hosts for which credentials were computed, other than that of the Request-URI.
    pub(super) named_hosts: Vec<String>,
    /// The number dialled; none for a REGISTER.
    pub(super) dialled: Option<String>,
    /// What it means should it come from a carrier: for each trunk whose address it has.
    pub(super) arrivals: Vec<Arrival>,
    /// The user parts under which the sender would like to appear, best first: P-Preferred-Identity and From of an INVITE, To
    /// of a REGISTER.
    pub(super) claimed: Vec<String>,
}

/// What the directory knows of a request's sender and target.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) tenant: TenantId,
    /// Of the user name that was given for the tenant's realm.
    pub(super) credential: Option<Credential>,
    /// Those of the hosts for which credentials were computed that are domains of the tenant.
    pub(super) domains: Vec<String>,
    /// The trunk it came over, and the number dialled as the directory has it.
    pub(super) arrival: Option<Arrival>,
    /// The number dialled needs no credentials.
    pub(super) open: bool,
    /// What the signature of the caller's number is worth, where the trunk wants it looked at.
    pub(super) verdict: Option<Verdict>,
    /// The first of the claimed numbers that is one of the credential's user.
    pub(super) claimed: Option<String>,
    /// The display name of the credential's user; empty where it has none, or where the phone's own is to be shown.
    pub(super) display_name: Box<str>,
}

/// The directory could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("the directory did not answer")]
    Directory(#[source] DirectoryError),
    #[error("the directory did not answer in time")]
    Timeout,
}

impl Classify for LookupError {
    fn class(&self) -> Class {
        match self {
            Self::Directory(error) => error.class(),
            // To the phone it is the same as a directory that is away.
            Self::Timeout => Class::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Directory(error) => error.reason(),
            Self::Timeout => "directory_timeout",
        }
    }
}

impl From<DirectoryError> for LookupError {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

/// Asks with a limit on time.
pub(super) async fn within<T>(
    asking: impl Future<Output = Result<T, LookupError>>,
) -> Result<T, LookupError> {
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or(Err(LookupError::Timeout))
}

/// Who calls, and what the signature of its number is worth.
pub(super) async fn judge(
    directory: &Directory,
    question: Question,
    (stir, asked): (&Stir, Option<Asked>),
) -> Result<Option<Identity>, LookupError> {
    let mut identity = within(identify(directory, question)).await?;
    if let (Some(identity), Some(asked)) = (&mut identity, asked)
        && let Some(arrival) = &identity.arrival
        && arrival.verify != StirVerify::Off
    {
        identity.verdict = Some(stir.verify(&asked, &arrival.trunk).await);
    }
    Ok(identity)
}

/// Who asks, and for what; none when nobody has that domain.
async fn identify(directory: &Directory, question: Question) -> Result<Option<Identity>, LookupError> {
    for arrival in question.arrivals {
        // Only a number of the tenant's: else a carrier's caller could call out over another carrier.
        if directory.resolve(&arrival.tenant, &arrival.number).await?.is_some() {
            let tenant = arrival.tenant.clone();
            return Ok(Some(Identity {
                tenant,
                credential: None,
                domains: Vec::new(),
                arrival: Some(arrival),
                open: true,
                verdict: None,
                claimed: None,
                display_name: "".into(),
            }));
        }
    }
    let Some(tenant) = directory.tenant_of_domain(&question.host).await? else { return Ok(None) };
    let mut credential = None;
    for (_, username) in question.usernames.iter().filter(|(realm, _)| realm == tenant.as_str()) {
        credential = directory.credential(&tenant, username).await?;
        if credential.is_some() {
            break;
        }
    }
    let mut domains = Vec::new();
    for host in question.named_hosts {
        if directory.tenant_of_domain(&host).await?.as_ref() == Some(&tenant) {
            domains.push(host);
        }
    }
    let open = match &question.dialled {
        Some(number) => directory.resolve(&tenant, number).await?.is_some_and(|found| found.open),
        None => false,
    };
    let (mut claimed, mut display_name) = (None, String::new());
    if let Some(Credential { user, .. }) = &credential {
        let by_phones = directory.tenant(&tenant).await?.is_some_and(|own| own.names_by_phones);
        if question.dialled.is_some() && !by_phones {
            display_name =
                directory.user(&tenant, user).await?.map(|user| user.display_name).unwrap_or_default();
        }
        for number in question.claimed {
            let found = directory.resolve(&tenant, &number).await?.map(|found| found.destination);
            if found.is_some_and(|destination| destination == Destination::User(user.clone())) {
                claimed = Some(number);
                break;
            }
        }
    }
    let display_name = display_name.into();
    Ok(Some(Identity {
        tenant,
        credential,
        domains,
        arrival: None,
        open,
        verdict: None,
        claimed,
        display_name,
    }))
}

/// Less than what a phone waits before it asks again for the second time.
const DEADLINE: Duration = Duration::from_secs(2);

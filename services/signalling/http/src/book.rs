//! What the directory says about people, kept at hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use sidetone_dialects::{Application, ApplicationKind, People, Person};
use sidetone_directory::{Directory, DirectoryError};
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_proto::directory::v1 as pb;
use sidetone_store::Store;
use tokio_util::sync::CancellationToken;

/// The pages: read whole, replaced whole.
#[derive(Debug, Default)]
struct Pages {
    people: BTreeMap<(TenantId, UserId), Person>,
    numbers: BTreeMap<(TenantId, Box<str>), UserId>,
    pick_up_groups: BTreeMap<TenantId, Vec<Vec<UserId>>>,
    domains: BTreeMap<TenantId, Box<str>>,
    applications: BTreeMap<TenantId, Vec<Application>>,
}

/// The book.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// The URL by which clients reach the door.
    base_url: Box<str>,
    pages: ArcSwap<Pages>,
}

/// Changes that come together are read together.
const SETTLE: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_secs(1);
const DIRECTORY: &str = "directory/";

impl Book {
    pub(crate) fn new(base_url: &str) -> Self {
        Self { base_url: base_url.into(), pages: ArcSwap::default() }
    }

    /// Reads the directory once.
    pub(crate) async fn read(&self, directory: &Directory) -> Result<(), DirectoryError> {
        let mut pages = Pages::default();
        for record in directory.list_tenants().await? {
            let Ok(tenant) = TenantId::new(&record.tenant) else { continue };
            if let Some(domain) = record.domains.first() {
                pages.domains.insert(tenant.clone(), domain.as_str().into());
            }
            read_tenant(directory, &tenant, &mut pages).await?;
        }
        self.pages.store(Arc::new(pages));
        Ok(())
    }

    /// Reads it again whenever it has changed, until the process stops.
    pub(crate) async fn keep_fresh(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        directory: Directory,
        stopping: CancellationToken,
    ) {
        let following = async {
            loop {
                let ended = self.follow(&*store, &directory).await;
                if let Err(error) = ended {
                    tracing::warn!(error, "the directory cannot be followed; what is known of it may be old");
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        tokio::select! {
            () = following => {}
            () = stopping.cancelled() => {}
        }
    }

    async fn follow(&self, store: &dyn Store, directory: &Directory) -> Result<(), String> {
        let mut changes = store.watch(DIRECTORY).await.map_err(|error| error.to_string())?;
        while let Some(change) = changes.next().await {
            change.map_err(|error| error.to_string())?;
            tokio::time::sleep(SETTLE).await;
            while let Some(Some(Ok(_))) = futures_util::FutureExt::now_or_never(changes.next()) {}
            self.read(directory).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

async fn read_tenant(
    directory: &Directory,
    tenant: &TenantId,
    pages: &mut Pages,
) -> Result<(), DirectoryError> {
    for user in directory.list_users(tenant).await? {
        let Ok(id) = UserId::new(&user.user) else { continue };
        let devices = directory.list_devices(tenant, Some(&id)).await?;
        let devices = devices.iter().filter_map(|device| DeviceId::new(&device.device).ok()).collect();
        let person = Person {
            display_name: user.display_name.as_str().into(),
            devices,
            numbers: Vec::new(),
            may_pick_up: user.may_pick_up,
            may_intrude: user.may_intrude,
        };
        pages.people.insert((tenant.clone(), id), person);
    }
    for number in directory.list_numbers(tenant).await? {
        let destination = number.destination.and_then(|found| Destination::try_from(found).ok());
        let user = match destination {
            Some(Destination::User(user)) => user,
            Some(Destination::PickUpGroup { members }) => {
                pages.pick_up_groups.entry(tenant.clone()).or_default().push(members);
                continue;
            }
            _ => continue,
        };
        let text: Box<str> = number.number.as_str().into();
        if let Some(person) = pages.people.get_mut(&(tenant.clone(), user.clone())) {
            person.numbers.push(text.clone());
        }
        pages.numbers.insert((tenant.clone(), text), user);
    }
    let applications = directory.list_applications(tenant).await?;
    pages.applications.insert(tenant.clone(), applications.iter().filter_map(application).collect());
    Ok(())
}

/// An application, if it is of a kind that this release knows.
fn application(record: &pb::Application) -> Option<Application> {
    let kind = match record.kind() {
        pb::ApplicationKind::Conversation => ApplicationKind::Conversation,
        pb::ApplicationKind::Bot => ApplicationKind::Bot,
        pb::ApplicationKind::Unspecified => return None,
    };
    let numbers = record.numbers.iter().map(|number| number.as_str().into()).collect();
    Some(Application { id: record.application.as_str().into(), kind, numbers })
}

impl People for Book {
    fn person(&self, tenant: &TenantId, user: &UserId) -> Option<Person> {
        self.pages.load().people.get(&(tenant.clone(), user.clone())).cloned()
    }

    fn user_of_number(&self, tenant: &TenantId, number: &str) -> Option<UserId> {
        let pages = self.pages.load();
        let by_number = pages.numbers.get(&(tenant.clone(), number.into())).cloned();
        // A user's id is a number, too: it can be dialled.
        by_number.or_else(|| {
            let user = UserId::new(number).ok()?;
            pages.people.contains_key(&(tenant.clone(), user.clone())).then_some(user)
        })
    }

    fn share_pick_up_group(&self, tenant: &TenantId, one: &UserId, other: &UserId) -> bool {
        let pages = self.pages.load();
        let groups = pages.pick_up_groups.get(tenant).map_or(&[][..], Vec::as_slice);
        groups.iter().any(|members| members.contains(one) && members.contains(other))
    }

    fn domain(&self, tenant: &TenantId) -> Option<Box<str>> {
        self.pages.load().domains.get(tenant).cloned()
    }

    fn base_url(&self) -> Box<str> {
        self.base_url.clone()
    }

    fn applications(&self, tenant: &TenantId) -> Vec<Application> {
        self.pages.load().applications.get(tenant).cloned().unwrap_or_default()
    }
}

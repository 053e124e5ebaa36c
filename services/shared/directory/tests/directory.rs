//! The directory over a store in memory: tenants apart, uniqueness, references, seed, registrations and secrets.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use sidetone_directory::{
    Algorithm, Directory, DirectoryError, DirectoryService, Password, Registration, SeedConfig,
};
use sidetone_model::ids::{DeviceId, ReplicaId, RoomId, TenantId, UserId};
use sidetone_model::party::{Binding, Destination, Flow, Transport};
use sidetone_model::time::Timestamp;
use sidetone_proto::directory::v1 as pb;
use sidetone_proto::directory::v1::directory_server::Directory as _;
use sidetone_runtime::Caller;
use sidetone_store::embedded::{EmbeddedStore, Options};
use sidetone_store::{Expect, ManualClock, Store as _};
use sidetone_telemetry::Telemetry;
use tonic::{Code, Request};

struct Bench {
    store: Arc<EmbeddedStore>,
    directory: Directory,
    clock: ManualClock,
}

fn bench() -> Bench {
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000));
    let options = Options { clock: clock.clock(), ..Options::default() };
    let store = EmbeddedStore::in_memory_with(options).unwrap();
    let directory = Directory::with_clock(store.clone(), clock.clock());
    Bench { store, directory, clock }
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn device(tenant: &str, user: &str, device: &str, auth_username: &str) -> pb::Device {
    pb::Device {
        tenant: tenant.into(),
        user: user.into(),
        device: device.into(),
        auth_username: auth_username.into(),
        ..pb::Device::default()
    }
}

fn number(tenant: &str, number: &str, destination: &Destination) -> pb::Number {
    pb::Number {
        tenant: tenant.into(),
        number: number.into(),
        destination: Some(destination.into()),
        ..pb::Number::default()
    }
}

const SEED: &str = r##"
    [[tenants]]
    tenant = "a"
    domains = ["A.example", "[::1]"]
    [[tenants.users]]
    user = "ann"
    numbers = ["100", "*98#"]
    devices = [{ device = "desk", password = "secret-a" }]
    [[tenants.rooms]]
    room = "lobby"
    [[tenants.numbers]]
    number = "300"
    room = "lobby"
    open = true

    [[tenants]]
    tenant = "b"
    domains = ["b.example"]
    [[tenants.users]]
    user = "ann"
    numbers = ["100"]
    devices = [{ device = "desk", password = "secret-b" }]
"##;

async fn seeded() -> Bench {
    let bench = bench();
    let config: SeedConfig = toml::from_str(SEED).unwrap();
    let mut errors = Vec::new();
    config.check(&mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    bench.directory.seed(&config).await.unwrap();
    bench
}

#[tokio::test]
async fn tenants_with_equal_names_do_not_see_each_other() {
    let Bench { directory, .. } = seeded().await;
    let (a, b) = (tenant("a"), tenant("b"));
    assert_eq!(directory.tenant_of_domain("a.EXAMPLE").await.unwrap(), Some(a.clone()));
    assert_eq!(directory.tenant_of_domain("::1").await.unwrap(), Some(a.clone()));
    assert_eq!(directory.tenant_of_domain("b.example").await.unwrap(), Some(b.clone()));
    assert_eq!(directory.tenant_of_domain("c.example").await.unwrap(), None);
    let of_a = directory.credential(&a, "desk").await.unwrap().unwrap();
    let of_b = directory.credential(&b, "desk").await.unwrap().unwrap();
    assert_ne!(of_a.ha1, of_b.ha1);
    let algorithms: Vec<_> = of_a.ha1.iter().map(|(a, _)| *a).collect();
    assert_eq!(algorithms, [Algorithm::Sha256, Algorithm::Sha512_256, Algorithm::Md5]);

    directory.delete_number(&b, "100").await.unwrap();
    assert!(directory.resolve(&b, "100").await.unwrap().is_none());
    for dialled in ["100", "*98#", "ann"] {
        let resolved = directory.resolve(&a, dialled).await.unwrap().unwrap();
        assert_eq!(resolved.destination, Destination::User(user("ann")), "{dialled}");
    }
    let room = directory.resolve(&a, "300").await.unwrap().unwrap();
    assert_eq!(room.destination, Destination::Room(RoomId::new("lobby").unwrap()));
    assert!(room.open);
    assert!(directory.resolve(&b, "300").await.unwrap().is_none());
    assert!(directory.list_rooms(&b).await.unwrap().is_empty());
}

#[tokio::test]
async fn seeding_again_changes_nothing_and_keeps_what_people_changed() {
    let Bench { directory, .. } = seeded().await;
    let config: SeedConfig = toml::from_str(SEED).unwrap();
    let changed = pb::User {
        tenant: "a".into(),
        user: "ann".into(),
        display_name: "Ann".into(),
        ..pb::User::default()
    };
    let changed = directory.put_user(changed).await.unwrap();
    let again = directory.seed(&config).await.unwrap();
    assert_eq!((again.added, again.kept), (0, 11));
    assert_eq!(directory.user(&tenant("a"), &user("ann")).await.unwrap(), Some(changed.clone()));
    assert_eq!(
        directory.put_user(changed.clone()).await.unwrap(),
        changed,
        "an equal put made a new revision"
    );
}

#[tokio::test]
async fn a_seed_with_mistakes_names_them_all() {
    let text = r#"
        [[tenants]]
        tenant = "a b"
        domains = ["x:5060"]
        users = [{ user = "", numbers = ["1 2"], devices = [{ device = "d", password = "seven77" }] }]
        numbers = [{ number = "1", echo = true, wait = true }, { number = "2" }]
    "#;
    let config: SeedConfig = toml::from_str(text).unwrap();
    let mut errors = Vec::new();
    config.check(&mut errors);
    let keys: Vec<_> = errors.iter().map(|e| e.key.as_str()).collect();
    let at = "seed.tenants[0]";
    for key in
        [".tenant", ".domains[0]", ".users[0].user", ".users[0].numbers[0]", ".users[0].devices[0].password"]
            .into_iter()
            .chain([".numbers[0]", ".numbers[1]"])
    {
        assert!(keys.contains(&format!("{at}{key}").as_str()), "{key} is missing in {keys:?}");
    }
    assert!(toml::from_str::<SeedConfig>("[[tenants]]\ntenant = \"a\"\nunknown = 1").is_err());
}

#[tokio::test]
async fn domains_and_digest_user_names_are_unique_and_free_again_after_a_rename() {
    let Bench { directory, .. } = seeded().await;
    let put = |name: &str, domains: &[&str]| pb::Tenant {
        tenant: name.into(),
        domains: domains.iter().map(|d| (*d).to_owned()).collect(),
        ..pb::Tenant::default()
    };
    let taken = directory.put_tenant(put("b", &["new.example", "a.example"])).await.unwrap_err();
    assert!(matches!(taken, DirectoryError::Taken { what: "domain" }), "{taken:?}");
    assert_eq!(directory.tenant_of_domain("new.example").await.unwrap(), None, "a claim was left behind");
    directory.put_tenant(put("a", &["c.example"])).await.unwrap();
    assert_eq!(directory.tenant_of_domain("a.example").await.unwrap(), None);
    directory.put_tenant(put("b", &["a.example"])).await.unwrap();
    assert_eq!(directory.tenant_of_domain("a.example").await.unwrap(), Some(tenant("b")));

    let short =
        directory.put_device(device("a", "ann", "mobile", "new"), Some(&Password::new("seven77"))).await;
    assert!(short.unwrap_err().to_string().contains("8 to 1024 bytes"));
    let password = Password::new("another one");
    let same_name = device("a", "ann", "mobile", "desk");
    let taken = directory.put_device(same_name, Some(&password)).await.unwrap_err();
    assert!(matches!(taken, DirectoryError::Taken { .. }), "{taken:?}");
    let renamed = device("a", "ann", "desk", "renamed");
    assert!(matches!(
        directory.put_device(renamed.clone(), None).await,
        Err(DirectoryError::Invalid { field: "password", .. })
    ));
    directory.put_device(renamed, Some(&password)).await.unwrap();
    assert!(directory.credential(&tenant("a"), "desk").await.unwrap().is_none());
    assert!(directory.credential(&tenant("a"), "renamed").await.unwrap().is_some());
    directory.put_device(device("a", "ann", "mobile", "desk"), Some(&password)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_want_a_number_one_gets_it() {
    let Bench { directory, .. } = seeded().await;
    for n in 0..8 {
        let room = pb::Room { tenant: "a".into(), room: format!("r{n}"), ..pb::Room::default() };
        directory.put_room(room).await.unwrap();
    }
    let racers = (0..8).map(|n| {
        let directory = directory.clone();
        let room = Destination::Room(RoomId::new(format!("r{n}")).unwrap());
        tokio::spawn(async move { directory.put_number(number("a", "777", &room)).await })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(_) => won += 1,
            Err(DirectoryError::Taken { what: "number" }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(won, 1);
    let stands = directory.number(&tenant("a"), "777").await.unwrap().unwrap();
    let moved = pb::Number { destination: Some((&Destination::Echo).into()), ..stands.clone() };
    directory.put_number(moved.clone()).await.unwrap();
    let stale = directory.put_number(moved).await.unwrap_err();
    assert!(matches!(stale, DirectoryError::Changed { .. }), "{stale:?}");
}

#[tokio::test]
async fn what_others_point_to_stays() {
    let Bench { directory, .. } = seeded().await;
    let a = tenant("a");
    let (lobby, ann, desk) = (RoomId::new("lobby").unwrap(), user("ann"), DeviceId::new("desk").unwrap());
    for refused in [
        directory.delete_tenant(&a).await,
        directory.delete_room(&a, &lobby).await,
        directory.delete_user(&a, &ann).await,
    ] {
        assert!(matches!(refused, Err(DirectoryError::InUse { .. })), "{refused:?}");
    }
    let nowhere = number("a", "1", &Destination::User(user("nobody")));
    assert!(matches!(directory.put_number(nowhere).await, Err(DirectoryError::NotFound { what: "user" })));
    directory.delete_device(&a, &ann, &desk).await.unwrap();
    assert!(directory.credential(&a, "desk").await.unwrap().is_none());
    for number in ["100", "*98#", "300"] {
        directory.delete_number(&a, number).await.unwrap();
    }
    directory.delete_user(&a, &ann).await.unwrap();
    directory.delete_room(&a, &lobby).await.unwrap();
    directory.delete_tenant(&a).await.unwrap();
    assert_eq!(directory.tenant_of_domain("a.example").await.unwrap(), None);
    assert!(matches!(directory.delete_tenant(&a).await, Err(DirectoryError::NotFound { .. })));
}

#[tokio::test]
async fn registrations_expire_and_go_with_their_device() {
    let Bench { directory, clock, .. } = seeded().await;
    let (a, ann) = (tenant("a"), user("ann"));
    let binding = Binding {
        user: ann.clone(),
        device: DeviceId::new("desk").unwrap(),
        contact_uri: "sip:ann@192.0.2.1".into(),
        replica: ReplicaId::new("s1").unwrap(),
        flow: Flow {
            transport: Transport::Udp,
            local: "192.0.2.9:5060".parse().unwrap(),
            remote: "192.0.2.1:5060".parse().unwrap(),
        },
        path: Vec::new(),
    };
    let registration = Registration {
        binding,
        expires_at: clock.now() + Duration::from_secs(60),
        user_agent: "phone".into(),
        sip_call_id: "1@x".into(),
        cseq: 1,
        instance: "".into(),
        reg_id: 0,
        q_thousandths: 1000,
        revision: None,
    };
    let with_instance = Registration { instance: "<urn:uuid:1>".into(), ..registration.clone() };
    let revision = directory.put_registration(&a, &registration, Expect::Absent).await.unwrap();
    directory.put_registration(&a, &with_instance, Expect::Absent).await.unwrap();
    let found = directory.bindings(&a, &ann).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], Registration { revision: Some(revision), ..registration.clone() });
    assert!(directory.bindings(&tenant("b"), &ann).await.unwrap().is_empty());
    let second = directory.put_registration(&a, &registration, Expect::Absent).await;
    assert!(matches!(second, Err(DirectoryError::Changed { .. })));
    let longer = Registration { expires_at: clock.now() + Duration::from_secs(120), ..registration };
    directory.put_registration(&a, &longer, Expect::Revision(revision)).await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert_eq!(directory.bindings(&a, &ann).await.unwrap().len(), 1);
    directory.delete_device(&a, &ann, &DeviceId::new("desk").unwrap()).await.unwrap();
    assert!(directory.bindings(&a, &ann).await.unwrap().is_empty());
}

/// Every call to a user asks for its devices: the store is asked when one of them has changed.
#[tokio::test]
async fn the_devices_of_a_user_are_read_when_they_change() {
    let telemetry = Arc::new(Telemetry::new().unwrap());
    let options = Options { telemetry: Some(Arc::clone(&telemetry)), ..Options::default() };
    let store = EmbeddedStore::in_memory_with(options).unwrap();
    let (directory, other) = (Directory::new(store.clone()), Directory::new(store));
    directory.seed(&toml::from_str(SEED).unwrap()).await.unwrap();
    let (a, ann) = (tenant("a"), user("ann"));
    let lists = telemetry.store.requests.with_label_values(&["list", "ok"]);
    let names = async |directory: &Directory| {
        let mut devices = directory.devices_of(&a, &ann).await.unwrap();
        devices.sort_by(|one, other| one.device.cmp(&other.device));
        devices.into_iter().map(|device| (device.device, device.wake_s)).collect::<Vec<_>>()
    };
    let before = names(&directory).await;
    // Once its watch stands, a directory asks no more.
    let kept = async {
        loop {
            let asked = lists.get();
            assert_eq!(names(&directory).await, before);
            if lists.get() == asked {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), kept).await.expect("every reader asks the store");
    let (name, _) = &before[0];
    let mut device =
        directory.device(&a, &ann, &DeviceId::new(name.as_str()).unwrap()).await.unwrap().unwrap();
    device.wake_s = 20;
    directory.put_device(device.clone(), None).await.unwrap();
    assert_eq!(names(&directory).await[0], (name.clone(), 20), "our own change is seen at once");
    device = directory.device(&a, &ann, &DeviceId::new(name.as_str()).unwrap()).await.unwrap().unwrap();
    device.wake_s = 30;
    other.put_device(device, None).await.unwrap();
    let seen = async {
        while names(&directory).await[0].1 != 30 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the cache is stale for ever");
    directory.delete_device(&a, &ann, &DeviceId::new(name.as_str()).unwrap()).await.unwrap();
    assert_eq!(names(&directory).await.len(), before.len() - 1);
}

#[tokio::test]
async fn changes_of_another_process_reach_the_cache() {
    let Bench { directory, store, .. } = seeded().await;
    let other = Directory::new(store.clone());
    let a = tenant("a");
    let seen = async {
        assert!(directory.resolve(&a, "300").await.unwrap().is_some());
        other.delete_number(&a, "300").await.unwrap();
        while directory.resolve(&a, "300").await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the cache is stale for ever");
}

#[tokio::test]
async fn no_secret_is_stored_shown_or_answered() {
    let Bench { directory, store, .. } = seeded().await;
    let a = tenant("a");
    let new = directory.create_token(&a, "billing").await.unwrap();
    assert_eq!(directory.verify_token(&new.secret).await.unwrap(), Some(a.clone()));
    assert_eq!(directory.verify_token("sidetone_0").await.unwrap(), None);
    let ha1 = directory.credential(&a, "desk").await.unwrap().unwrap().ha1;
    let config: SeedConfig = toml::from_str(SEED).unwrap();
    let shown = format!(
        "{config:?} {:?} {new:?} {:?} {:?} {:?}",
        directory,
        directory.credential(&a, "desk").await.unwrap(),
        directory.list_tokens(&a).await.unwrap(),
        directory.list_devices(&a, None).await.unwrap(),
    );
    for secret in ["secret-a", &new.secret, &ha1[0].1, &ha1[1].1] {
        assert!(!shown.contains(secret), "a secret is shown");
    }
    for entry in store.list("").await.unwrap() {
        let value = String::from_utf8_lossy(&entry.value).into_owned();
        assert!(!value.contains("secret-a") && !value.contains(&new.secret), "stored at {}", entry.key);
        assert!(!entry.key.contains(&new.secret));
    }
    directory.delete_token(&a, &new.token.token_id).await.unwrap();
    assert_eq!(directory.verify_token(&new.secret).await.unwrap(), None);
}

#[tokio::test]
async fn the_service_checks_who_calls_and_names_the_field() {
    let service = DirectoryService::new(seeded().await.directory);
    fn by_a<T>(message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(Caller::Tenant(TenantId::new("a").unwrap()));
        request
    }
    let of = |tenant: &str| pb::ListRequest { tenant: tenant.into(), ..pb::ListRequest::default() };
    assert_eq!(service.list_users(by_a(of("a"))).await.unwrap().into_inner().users.len(), 1);
    assert_eq!(service.list_users(by_a(of("b"))).await.unwrap_err().code(), Code::PermissionDenied);
    let foreign = pb::PutDeviceRequest { device: Some(device("b", "ann", "x", "x")), password: None };
    assert_eq!(service.put_device(by_a(foreign)).await.unwrap_err().code(), Code::PermissionDenied);
    let tenants = service.list_tenants(by_a(pb::ListTenantsRequest {})).await.unwrap().into_inner().tenants;
    assert_eq!(tenants.iter().map(|t| t.tenant.as_str()).collect::<Vec<_>>(), ["a"]);
    let put = pb::PutTenantRequest { tenant: Some(tenants[0].clone()) };
    assert_eq!(service.put_tenant(by_a(put)).await.unwrap_err().code(), Code::PermissionDenied);

    let bad = service
        .put_number(by_a(pb::PutNumberRequest { number: Some(number("a", "1 2", &Destination::Echo)) }));
    let bad = bad.await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    assert!(bad.message().contains("number.number"), "{}", bad.message());
    let none = service.put_room(by_a(pb::PutRoomRequest { room: None })).await.unwrap_err();
    assert_eq!((none.code(), none.message()), (Code::InvalidArgument, "room: it is missing"));
    let stale = pb::User { tenant: "a".into(), user: "ann".into(), revision: 9999, ..pb::User::default() };
    let stale = service.put_user(by_a(pb::PutUserRequest { user: Some(stale) })).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
}

#[tokio::test]
async fn a_device_is_waited_for_a_minute_at_the_longest() {
    let Bench { directory, .. } = seeded().await;
    let password = Password::new("a password");
    for (wake_s, taken) in [(0, true), (60, true), (61, false), (u32::MAX, false)] {
        let sleeper = pb::Device { wake_s, ..device("a", "ann", "mobile", "mobile") };
        let put = directory.put_device(sleeper, Some(&password)).await;
        let refused = matches!(put, Err(DirectoryError::Invalid { field: "device.wake_s", .. }));
        assert_eq!((put.is_ok(), refused), (taken, !taken), "{wake_s}: {put:?}");
    }
    let kept = directory.list_devices(&tenant("a"), Some(&user("ann"))).await.unwrap();
    let mobile = kept.iter().find(|it| it.device == "mobile").unwrap();
    assert_eq!(mobile.wake_s, 60, "what is refused changes nothing");
}

#[tokio::test]
async fn a_mailbox_has_a_pin_of_which_only_a_hash_is_kept_and_a_greeting() {
    let Bench { directory, store, clock } = seeded().await;
    let (a, ann) = (tenant("a"), user("ann"));
    let wav: Vec<u8> = [b"RIFF".as_slice(), &[0; 4], b"WAVE", &[0; 40]].concat();
    let change = |pin: &str, greeting: Vec<u8>| {
        use pb::put_mailbox_request::{GreetingChange, PinChange};
        pb::PutMailboxRequest {
            tenant: "a".into(),
            user: "ann".into(),
            pin_change: Some(PinChange::Pin(pin.into())),
            greeting_change: Some(GreetingChange::Greeting(greeting)),
        }
    };
    assert!(!directory.is_mailbox_pin(&a, &ann, "").await.unwrap(), "without a PIN nothing is one");
    for (pin, greeting) in [("123", wav.clone()), ("12a4", wav.clone()), ("1234", vec![0; 99])] {
        let refused = directory.put_mailbox(change(pin, greeting)).await;
        assert!(matches!(refused, Err(DirectoryError::Invalid { .. })), "{refused:?}");
    }
    let mailbox = directory.put_mailbox(change("135790", wav.clone())).await.unwrap();
    assert_eq!((mailbox.has_pin, mailbox.greeting_bytes as usize), (true, wav.len()));
    assert!(directory.is_mailbox_pin(&a, &ann, "135790").await.unwrap());
    assert!(!directory.is_mailbox_pin(&a, &ann, "135791").await.unwrap());
    for entry in store.list("").await.unwrap() {
        assert!(!String::from_utf8_lossy(&entry.value).contains("135790"), "stored at {}", entry.key);
    }
    let first = directory.mailbox_pin_set_at(&a, &ann).await.unwrap();
    assert_eq!(first, Some(clock.now()));
    clock.advance(Duration::from_secs(9));
    // The same digits are a new PIN all the same: whoever sets it wants to be let in.
    directory.put_mailbox(change("135790", wav.clone())).await.unwrap();
    assert_eq!(directory.mailbox_pin_set_at(&a, &ann).await.unwrap(), Some(clock.now()));
    directory.set_mailbox_pin(&a, &ann, None).await.unwrap();
    directory.set_greeting(&a, &ann, None).await.unwrap();
    assert_eq!(directory.mailbox_pin_set_at(&a, &ann).await.unwrap(), None);
    assert_eq!(directory.greeting(&a, &ann).await.unwrap(), None);
}

#[tokio::test]
async fn a_rehearsal_finds_what_only_shows_when_a_seed_is_carried_out() {
    let seed = r#"
        [[tenants]]
        tenant = "acme"
        domains = ["acme.example"]
        users = [{ user = "alice", numbers = ["1001"] }, { user = "bob", numbers = ["1001"] }]
        numbers = [{ number = "3000", room = "elsewhere" }]
        applications = [{ application = "a", kind = "bot", bot = "b", secret = "short" }]
        trunks = [{ trunk = "carrier", uri = "garbage" }]
        [[tenants]]
        tenant = "other"
        domains = ["acme.example"]
    "#;
    let seed: SeedConfig = toml::from_str(seed).unwrap();
    let directory = Directory::new(EmbeddedStore::in_memory().unwrap());
    let mistakes = directory.rehearse(&seed).await.unwrap();
    let at: Vec<&str> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    let expected = [
        "seed.tenants[0].users[1].numbers[0]",
        "seed.tenants[0].trunks[0]",
        "seed.tenants[0].applications[0]",
        "seed.tenants[1]",
    ];
    assert_eq!(at, expected, "{mistakes:?}");
    // A room that is not in it may be in the directory.
    let refused = Directory::new(EmbeddedStore::in_memory().unwrap()).seed(&seed).await.unwrap_err();
    assert_eq!(refused.at, "seed.tenants[0].numbers[0]");
}

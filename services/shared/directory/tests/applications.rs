//! Applications and teams: what they must have, whose they are, and that their secrets never come out.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use sidetone_directory::{Directory, DirectoryError, DirectoryService, Password, SeedConfig};
use sidetone_model::ids::TenantId;
use sidetone_proto::directory::v1 as pb;
use sidetone_proto::directory::v1::directory_server::Directory as _;
use sidetone_runtime::Caller;
use sidetone_store::embedded::EmbeddedStore;
use tonic::{Code, Request};

async fn directory() -> Directory {
    let directory = Directory::new(EmbeddedStore::in_memory().unwrap());
    for tenant in ["acme", "other"] {
        let record = pb::Tenant { tenant: tenant.into(), ..pb::Tenant::default() };
        directory.put_tenant(record).await.unwrap();
    }
    directory
}

fn team(tenant: &str) -> pb::Application {
    pb::Application {
        tenant: tenant.into(),
        application: "333ccc134c0319001573485e".into(),
        kind: pb::ApplicationKind::Bot.into(),
        event_url: "https://bots.example.com/hook".into(),
        bot: "5b72aaab".into(),
        ..pb::Application::default()
    }
}

fn secret() -> Password {
    Password::new("sixteen bytes or more")
}

#[tokio::test]
async fn a_team_is_found_by_its_id_and_its_secret_only_by_asking_for_it() {
    let directory = directory().await;
    let put = directory.put_application(team("acme"), Some(&secret())).await.unwrap();
    assert!(put.has_secret);
    let found = directory.application(&put.application).await.unwrap().unwrap();
    assert_eq!((found.tenant.as_str(), found.bot.as_str()), ("acme", "5b72aaab"));
    assert!(!format!("{found:?}").contains("sixteen"));
    assert_eq!(directory.application_secret(&put.application).await.unwrap(), Some(secret()));

    let renamed = pb::Application { name: "Sales".into(), ..found };
    let renamed = directory.put_application(renamed, None).await.unwrap();
    assert!(renamed.has_secret, "without a secret the present one stays");
    assert_eq!(directory.application_secret(&put.application).await.unwrap(), Some(secret()));

    let acme = TenantId::new("acme").unwrap();
    assert!(matches!(
        directory.delete_tenant(&acme).await,
        Err(DirectoryError::InUse { by: "applications", .. })
    ));
    directory.delete_application(&acme, &put.application).await.unwrap();
    assert_eq!(directory.application(&put.application).await.unwrap(), None);
    assert_eq!(directory.application_secret(&put.application).await.unwrap(), None);
}

#[tokio::test]
async fn an_id_belongs_to_one_tenant() {
    let directory = directory().await;
    directory.put_application(team("acme"), Some(&secret())).await.unwrap();
    let taken = directory.put_application(team("other"), Some(&secret())).await;
    assert!(matches!(taken, Err(DirectoryError::Taken { .. })));
    let other = TenantId::new("other").unwrap();
    let deleted = directory.delete_application(&other, &team("acme").application).await;
    assert!(matches!(deleted, Err(DirectoryError::NotFound { .. })));
    assert!(directory.list_applications(&other).await.unwrap().is_empty());
}

#[tokio::test]
async fn mistakes_are_named_and_change_nothing() {
    let directory = directory().await;
    let with = |change: fn(&mut pb::Application)| {
        let mut application = team("acme");
        change(&mut application);
        application
    };
    let cases = [
        (with(|a| a.kind = 0), "application.kind"),
        (with(|a| a.application = "a/b".into()), "application.application"),
        (with(|a| a.event_url = "ftp://x".into()), "application.event_url"),
        (with(|a| a.event_url = "https://user@host/".into()), "application.event_url"),
        (with(|a| a.fallback_url = "https://".into()), "application.fallback_url"),
        (with(|a| a.bot = String::new()), "application.bot"),
        (with(|a| a.public_key = "-----BEGIN PRIVATE KEY-----".into()), "application.public_key"),
        (with(|a| a.numbers = vec!["not a number".into()]), "application.numbers"),
    ];
    for (application, expected) in cases {
        match directory.put_application(application, Some(&secret())).await {
            Err(DirectoryError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let short = directory.put_application(team("acme"), Some(&Password::new("short"))).await;
    assert!(matches!(short, Err(DirectoryError::Invalid { field: "secret", .. })));
    let none = directory.put_application(team("acme"), None).await;
    assert!(matches!(none, Err(DirectoryError::Invalid { field: "secret", .. })));
    assert!(directory.list_applications(&TenantId::new("acme").unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_tenants_token_reaches_only_its_own_applications() {
    let service = DirectoryService::new(directory().await);
    let request = |tenant: &str| {
        let put = pb::PutApplicationRequest {
            application: Some(team(tenant)),
            secret: Some("sixteen bytes or more".into()),
        };
        let mut request = Request::new(put);
        request.extensions_mut().insert(Caller::Tenant(TenantId::new("acme").unwrap()));
        request
    };
    let refused = service.put_application(request("other")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(service.put_application(request("acme")).await.unwrap().into_inner().has_secret);
}

#[tokio::test]
async fn the_configuration_seeds_applications_once() {
    let directory = Directory::new(EmbeddedStore::in_memory().unwrap());
    let seed: SeedConfig = toml::from_str(
        r#"
        [[tenants]]
        tenant = "acme"
        [[tenants.applications]]
        application = "9df502d9-784e-4f3f-8b23-e8faf438eb8f"
        kind = "conversation"
        event_url = "http://127.0.0.1:9/events"
        secret = "sixteen bytes or more"
        "#,
    )
    .unwrap();
    directory.seed(&seed).await.unwrap();
    directory.seed(&seed).await.unwrap();
    let acme = TenantId::new("acme").unwrap();
    let found = directory.list_applications(&acme).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind(), pb::ApplicationKind::Conversation);
}

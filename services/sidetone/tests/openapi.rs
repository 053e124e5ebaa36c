//! The three served OpenAPI documents against what is served: schemathesis makes requests out of each, right and wrong, and
//! finds no 5xx, no answer that the document does not know, and none of another form than it says.
//!
//! Skipped, and says so, where schemathesis is not installed; `.ci/run` installs it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use support::clients::{BOT, Conversations, SECRET, TEAM, Telephony, applications, invitation};
use support::phones::{call, eventually, registered};
use support::process::Installation;

/// Requests made for each operation beside those of the document's limits.
const EXAMPLES: &str = "6";
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// The program: from the path, or where `.ci/run` puts it.
fn program() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    let own = cache.join("sidetone-ci/schemathesis/bin/schemathesis");
    let found = [PathBuf::from("schemathesis"), own]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_ok_and(|it| it.status.success()));
    if found.is_none() {
        eprintln!("SKIPPED: schemathesis is not installed; the OpenAPI documents are not tried");
    }
    found
}

fn installation() -> Installation {
    let nowhere = "http://127.0.0.1:9/nobody";
    Installation::with_seed(&applications(nowhere, nowhere))
}

/// What is known of the world of a run.
struct Run<'a> {
    document: &'a str,
    /// Headers that prove who asks.
    headers: Vec<String>,
    /// Names of what exists, by the parameters of paths.
    known: Value,
    more: &'a [&'a str],
    bot: bool,
}

async fn tried(program: PathBuf, installation: &Installation, run: Run<'_>) -> String {
    let base = format!("http://{}", installation.http);
    let mut command = Command::new(program);
    command.args(["run", &format!("{base}{}", run.document), "--url", &base, "--checks", CHECKS]);
    command.args(["--phases", "examples,coverage,fuzzing", "-n", EXAMPLES, "--seed", "1", "--no-color"]);
    command.args(["--suppress-health-check", "all", "--request-timeout", "30"]);
    command.args(run.headers.iter().flat_map(|header| ["-H", header.as_str()])).args(run.more);
    command.env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("SCHEMATHESIS_HOOKS", "schemathesis_hooks");
    command.env("SIDETONE_KNOWN", run.known.to_string()).current_dir(installation.folder.path());
    if run.bot {
        command.env("SIDETONE_BOT", BOT).env("SIDETONE_SECRET", SECRET);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}\n{}", installation.logs());
    assert!(text.contains(" generated, "), "it tried something: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_telephony_document_is_true() {
    let Some(program) = program() else { return };
    let installation = installation();
    let ada = registered(&installation, "1001", 440.0).await;
    let _ben = registered(&installation, "1002", 700.0).await;
    let client = Telephony::start(&installation, "user1001", "secret-1001").await;
    let _call = call(&installation, &ada, "1002").await;
    eventually(&installation, "the call is told", || client.call_state() == "ACTIVE").await;
    let run = Run {
        document: "/api/rest/1.0/openapi.json",
        headers: vec![format!("Cookie: {}", client.cookie())],
        known: json!({ "callRef": client.call_ref(), "deviceId": "desk1001", "participantId": "1002" }),
        // It would end the session of all other requests.
        more: &["--exclude-name", "DELETE /api/rest/1.0/sessions"],
        bot: false,
    };
    let text = tried(program, &installation, run).await;
    assert!(!text.contains("403 Forbidden ("), "who asks is known: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bots_document_is_true() {
    let Some(program) = program() else { return };
    let installation = installation();
    let run = Run {
        document: "/bot/openapi.json",
        headers: Vec::new(),
        known: json!({ "team": TEAM }),
        more: &[],
        bot: true,
    };
    let text = tried(program, &installation, run).await;
    assert!(!text.contains("Authentication failed"), "who asks is known: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conversations_document_is_true() {
    let Some(program) = program() else { return };
    let installation = installation();
    let _ada = registered(&installation, "1001", 440.0).await;
    let application = Conversations::new(&installation);
    let (conversation, user) = application.begin().await;
    let members = format!("/conversations/{conversation}/members");
    let member = application.post(&members, invitation(&user, "5000", "1001")).await;
    let run = Run {
        document: "/beta/openapi.json",
        headers: vec![format!("Authorization: Bearer {}", Conversations::token(SECRET))],
        known: json!({ "conversation": conversation, "user": user, "member": member["id"], "event": 1 }),
        more: &[],
        bot: false,
    };
    let text = tried(program, &installation, run).await;
    assert!(!text.contains("Authentication failed"), "who asks is known: {text}");
}

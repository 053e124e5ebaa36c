//! The examples in docs/ are what went over the wire: a hold and its end, through the three dialects.
//!
//! `UPDATE=1 cargo test -p sidetone --test examples` writes them anew. Ids, times and signatures are others every time; they are
//! numbered in the order in which they appear.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use support::receiver::Webhook;
use support::views::{Scene, scene};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/one-hold.md");

/// What varies, by what stands for it.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    /// A text with what varies named in the order in which it appears.
    fn in_text(&mut self, text: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
        let mut out = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| plain(c) != plain(first)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            out.push_str(&self.named(word));
            rest = behind;
        }
        out
    }

    fn named(&mut self, word: &str) -> String {
        // What stands before an id says whose it is.
        let Some((before, id)) = split_id(word) else { return varying(word).unwrap_or(word).to_owned() };
        let id = id.replace('-', "");
        let next = self.0.len() + 1;
        let name = self.0.entry(id).or_insert_with(|| format!("ID{next}"));
        format!("{before}{name}")
    }

    fn in_json(&mut self, value: &Value) -> String {
        self.in_text(&serde_json::to_string_pretty(value).unwrap())
    }
}

/// A UUID, with or without dashes, at the end of a word.
fn split_id(word: &str) -> Option<(&str, &str)> {
    [36, 32].into_iter().find_map(|length| {
        let at = word.len().checked_sub(length)?;
        let (before, id) = (word.get(..at)?, word.get(at..)?);
        let dashes = id.matches('-').count();
        let hex = id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        (hex && dashes == if length == 36 { 4 } else { 0 }).then_some((before, id))
    })
}

/// Times, addresses, and the entry of the log in a key.
fn varying(word: &str) -> Option<&str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if word.len() == 24 && word.ends_with('Z') && word.as_bytes()[10] == b'T' {
        return Some("TIME");
    }
    if word.len() == 13 && digits(word) {
        return Some("MILLISECONDS");
    }
    if word.len() == 10 && digits(word) && word.starts_with('1') {
        return Some("SECONDS");
    }
    word.starts_with("127.0.0.1:").then_some("HOST:PORT")
}

struct Page {
    text: String,
    names: Names,
}

impl Page {
    fn head(&mut self, text: &str) {
        writeln!(self.text, "\n## {text}\n").unwrap();
    }

    fn json(&mut self, value: &Value) {
        let shown = self.names.in_json(value);
        writeln!(self.text, "```json\n{shown}\n```").unwrap();
    }

    fn request(&mut self, line: &str, body: &Value, answer: &Value) {
        let line = self.names.in_text(line);
        writeln!(self.text, "`{line}`\n").unwrap();
        self.json(body);
        writeln!(self.text, "\nis answered\n").unwrap();
        self.json(answer);
    }

    fn webhook(&mut self, webhook: &Webhook) {
        let key = self.names.in_text(entry_named(webhook.header("idempotency-key")).as_str());
        writeln!(self.text, "`Idempotency-Key: {key}`\n").unwrap();
        self.json(&webhook.body);
    }
}

/// A key ends in the entry of the log and the places of the fact and of the event in it.
fn entry_named(key: &str) -> String {
    let (receiver, place) = key.rsplit_once('-').unwrap();
    let (_, in_entry) = place.split_once('.').unwrap();
    format!("{receiver}-ENTRY.{in_entry}")
}

async fn operate(scene: &Scene, page: &mut Page, method: &str, call: &str) {
    let body = json!({ "threadId": call, "contactId": "user1001" });
    let (status, answer) = scene.bot.ask(method, body.clone()).await;
    assert!(status.is_success(), "{answer}");
    page.request(&format!("POST /bot/the-team/{method}"), &body, &answer);
}

async fn told(scene: &Scene, page: &mut Page, (state, held, media): (&str, &str, usize)) {
    let users = [("user1001, who is held", &scene.ada), ("user1002, who holds", &scene.ben)];
    for (who, user) in users {
        scene.until(&format!("{who} is told of {state}"), || user.call_state() == state).await;
        page.head(&format!("002 tells {who}"));
        page.json(user.events().last().unwrap());
    }
    page.head("003 tells the team");
    let webhook = scene.webhook(&scene.team_hears, "eventType", held, 1).await;
    page.webhook(&webhook);
    page.head("000 tells the application");
    page.webhook(&scene.webhook(&scene.application_hears, "type", "member:media", media).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_what_went_over_the_wire() {
    let scene = scene().await;
    let call = scene.ada.call_ref();
    let mut page = Page { text: HEAD.to_owned(), names: Names::default() };
    // Two were told when the two had answered.
    scene.webhook(&scene.application_hears, "type", "member:media", 2).await;
    page.head("003: the bot holds");
    operate(&scene, &mut page, "call.user/hold", &call).await;
    told(&scene, &mut page, ("HELD", "Call.Member.held", 3)).await;
    page.head("003: the bot ends it");
    operate(&scene, &mut page, "call.user/unhold", &call).await;
    told(&scene, &mut page, ("ACTIVE", "Call.Member.unheld", 4)).await;
    page.head("003: what is not there is refused");
    let body = json!({ "threadId": call, "contactId": "nobody" });
    let (_, refused) = scene.bot.ask("call.user/hold", body.clone()).await;
    page.request("POST /bot/the-team/call.user/hold", &body, &refused);
    page.head("002: an operation whose capability is not there");
    let retrieve = format!("/telephony/calls/{call}/retrieve");
    let (_, refused) = scene.ada.ask(Method::POST, &retrieve, json!({})).await;
    page.request(&format!("POST /api/rest/1.0{retrieve}"), &json!({}), &refused);

    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(Path::new(PAGE).parent().unwrap()).unwrap();
        std::fs::write(PAGE, &page.text).unwrap();
    }
    let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(
        page.text, kept,
        "docs/examples/one-hold.md is not what goes over the wire; UPDATE=1 writes it"
    );
}

const HEAD: &str = "# One hold in three dialects

Captured from the wire by `services/sidetone/tests/examples.rs`, which fails when this page is not what goes over it. Two phones,
user1001 and user1002, are in a call that an application of dialect 000 has begun; a bot of dialect 003 holds user1001, and both
users watch by dialect 002. Ids, times and addresses are named in the order in which they appear.
";

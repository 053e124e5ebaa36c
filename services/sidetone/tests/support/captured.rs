//! Pages of examples: what went over the wire, with what is another every time named in the order in which it appears.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::clients::APPLICATION;
use super::receiver::Webhook;

/// A page of `docs/examples`.
pub struct Page {
    name: &'static str,
    text: String,
    names: Names,
    facts: BTreeMap<String, String>,
}

impl Page {
    /// A page by the name of its file, with what stands above the examples.
    pub fn new(name: &'static str, title: &str, about: &str) -> Self {
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = format!("# {title}\n\n{}\n\n{}\n", wrapped(&about), wrapped(HOW));
        Self { name, text, names: Names::default(), facts: BTreeMap::new() }
    }

    pub fn head(&mut self, text: &str) {
        self.block(&format!("## {text}"));
    }

    pub fn json(&mut self, value: &Value) {
        let shown = self.names.in_text(&serde_json::to_string_pretty(value).unwrap());
        self.block(&format!("```json\n{shown}\n```"));
    }

    /// A line of a request or of a header.
    pub fn line(&mut self, line: &str) {
        let line = self.names.in_text(line);
        self.block(&format!("`{line}`"));
    }

    /// What a person should know.
    pub fn note(&mut self, text: &str) {
        self.block(&wrapped(text));
    }

    /// A request without a body, and its answer.
    pub fn asked(&mut self, line: &str, answer: &Value) {
        self.line(line);
        self.answer(answer);
    }

    pub fn request(&mut self, line: &str, body: &Value, answer: &Value) {
        self.line(line);
        self.json(body);
        self.answer(answer);
    }

    /// A status with headers as a text, or a body.
    fn answer(&mut self, answer: &Value) {
        self.block("is answered");
        match answer {
            Value::String(line) => self.line(line),
            other => self.json(other),
        }
    }

    pub fn webhook(&mut self, webhook: &Webhook) {
        let key = webhook.header("idempotency-key");
        // A key ends in the entry of the log, the place of the fact in it, and the place of the event among the fact's.
        let (receiver, place) = key.rsplit_once('-').unwrap();
        let (fact, event) = place.rsplit_once('.').unwrap();
        let next = self.facts.len() + 1;
        let fact = self.facts.entry(fact.to_owned()).or_insert_with(|| format!("FACT{next}")).clone();
        self.line(&format!("Idempotency-Key: {receiver}-{fact}.{event}"));
        self.json(&webhook.body);
    }

    /// A paragraph, behind an empty line.
    fn block(&mut self, text: &str) {
        writeln!(self.text, "\n{text}").unwrap();
    }

    /// Compares with the page that is kept, or with `UPDATE` keeps this one.
    pub fn check(self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(self.name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &self.text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if self.text != kept {
            let differs = self.text.lines().zip(kept.lines()).position(|(now, then)| now != then);
            let line = differs.unwrap_or_else(|| self.text.lines().count().min(kept.lines().count()));
            let of = |text: &str| text.lines().nth(line).unwrap_or("(nothing)").to_owned();
            panic!(
                "docs/examples/{} is not what goes over the wire (UPDATE=1 writes it). Line {}:\n{}\nis now\n{}\n\n{}",
                self.name,
                line + 1,
                of(&kept),
                of(&self.text),
                self.text
            );
        }
    }
}

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
        let Some((before, id, behind)) = split_id(word) else { return varying(word).to_owned() };
        if id == APPLICATION {
            return word.to_owned();
        }
        let next = self.0.len() + 1;
        let name = self.0.entry(id.replace('-', "")).or_insert_with(|| format!("ID{next}"));
        format!("{before}{name}{behind}")
    }
}

/// The UUID in a word, with or without dashes, what stands before it, and what behind.
fn split_id(word: &str) -> Option<(&str, &str, &str)> {
    let is_id = |id: &str, length: usize| {
        let place = |n: usize, byte: u8| match (length, n) {
            (36, 8 | 13 | 18 | 23) => byte == b'-',
            _ => byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase(),
        };
        id.bytes().enumerate().all(|(n, byte)| place(n, byte))
    };
    [36, 32].into_iter().find_map(|length| {
        let last = word.len().checked_sub(length)?;
        // Not a part of something longer.
        let ends = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
        let alone = |at: usize| {
            let bytes = word.as_bytes();
            ends(at.checked_sub(1).map(|before| &bytes[before])) && ends(bytes.get(at + length))
        };
        let at = (0..=last).find(|at| is_id(&word[*at..*at + length], length) && alone(*at))?;
        Some((&word[..at], &word[at..at + length], &word[at + length..]))
    })
}

/// Times, addresses, and what nobody can guess.
fn varying(word: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match word {
        _ if word.len() == 24 && word.ends_with('Z') && word.as_bytes()[10] == b'T' => "TIME",
        _ if word.len() == 13 && digits(word) => "MILLISECONDS",
        _ if word.starts_with("127.0.0.1:") => "HOST:PORT",
        _ if word.len() > 40 && !word.contains(|c: char| c.is_whitespace() || c == ':') => "TICKET",
        _ => word,
    }
}

/// Lines of a page.
fn wrapped(text: &str) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for word in text.split_whitespace() {
        if column > 0 && column + word.len() + 1 > 120 {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

const HOW: &str = "Captured by `services/sidetone/tests/examples.rs`, which fails when this page is not what goes over \
    it. Ids, facts, times, addresses and tickets are named in the order in which they appear.";

//! The Reason header (RFC 3326) to and from a [`Termination`].

use sidetone_model::termination::{Cause, Termination};

/// The header's value for an end: the Q.850 cause, and for a call that another device took the SIP cause by which
/// phones know not to show a missed call (RFC 3326 section 2).
pub(crate) fn header(termination: &Termination) -> String {
    let q850 = format!("Q.850;cause={};text=\"{}\"", termination.cause.q850(), termination.cause.label());
    match termination.cause {
        Cause::AnsweredElsewhere => format!("SIP;cause=200;text=\"Call completed elsewhere\", {q850}"),
        _ => q850,
    }
}

/// The end that a BYE or CANCEL tells; `default` when it gives no reason that we know.
pub(crate) fn termination(lines: &[String], default: Cause) -> Termination {
    let values: Vec<Value> = lines.iter().flat_map(|line| split(line)).filter_map(|v| parse(&v)).collect();
    let text = values.iter().map(|value| value.text.as_str()).find(|text| !text.is_empty());
    let sip = values.iter().find(|value| value.protocol.eq_ignore_ascii_case("SIP"));
    let q850 = values.iter().find(|value| value.protocol.eq_ignore_ascii_case("Q.850"));
    let cause = match (sip, q850) {
        (Some(sip), _) if sip.cause == 200 => Cause::AnsweredElsewhere,
        (_, Some(q850)) => from_q850(q850.cause).unwrap_or(default),
        (Some(sip), None) if sip.cause >= 300 => Cause::from_sip_status(sip.cause),
        _ => default,
    };
    // A cause of normal clearing says nothing that the kind of request does not say better.
    let cause = if cause == Cause::Normal { default } else { cause };
    Termination::new(cause).with_text(clean(text.unwrap_or_default()))
}

/// RFC 3398 section 8.2.6.1 read backwards, by the model's own table.
fn from_q850(code: u16) -> Option<Cause> {
    match code {
        // Temporary failure: over there, and not one of ours.
        41 => Some(Cause::TransportFailure),
        31 => Some(Cause::Normal),
        _ => Cause::ALL.into_iter().find(|cause| u16::from(cause.q850()) == code),
    }
}

struct Value {
    protocol: String,
    cause: u16,
    text: String,
}

fn parse(value: &str) -> Option<Value> {
    let mut parts = value.split(';').map(str::trim);
    let mut out = Value { protocol: parts.next()?.to_owned(), cause: 0, text: String::new() };
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "cause" => out.cause = value.trim().parse().ok()?,
            "text" => out.text = value.trim().trim_matches('"').to_owned(),
            _ => {}
        }
    }
    Some(out)
}

/// Values at commas that are not quoted.
fn split(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                out.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = out.last_mut() {
            last.push(c);
        }
    }
    out
}

/// The text goes into call records, where no number and no address may stand: what has digits or an `@` stays out.
fn clean(text: &str) -> &str {
    let telling = text.contains('@') || text.chars().filter(char::is_ascii_digit).count() > 3;
    if telling || text.len() > 120 { "" } else { text }
}

//! What two receivers got, held against each other.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::Delivery;
use super::receiver::Got;

/// Where the two differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Judgement {
    /// Calls of which both were told.
    pub calls: usize,
    /// Calls of whose end the good receiver was told.
    pub calls_ended: usize,
    /// Events that the good receiver got.
    pub events: usize,
    /// Of these, events that the other never got.
    pub lost: usize,
    /// Calls of which the other was told in another order, or of which either was told anything behind its end.
    pub out_of_order: usize,
    /// Events that either got under two idempotency keys, or whose key stood for two events.
    pub doubled: usize,
    /// Requests that came again under the same key: to the receiver in a bad way, and to the good one.
    pub repeats: [usize; 2],
    /// From a call's beginning to its first event at the good receiver, in ms: median, 99th percentile, longest.
    pub steady_ms: [f64; 3],
    /// The same at the other.
    pub moody_ms: [f64; 3],
}

/// What one receiver was told, once each.
struct Told {
    /// Of each call, in the order in which it came first.
    calls: BTreeMap<String, Vec<Value>>,
    repeats: usize,
    doubled: usize,
    /// From beginnings of calls to their events, in ms.
    delays_ms: Vec<f64>,
}

impl Judgement {
    pub(super) fn of(moody: &[Got], steady: &[Got]) -> Self {
        let (moody, steady) = (Told::of(moody), Told::of(steady));
        let mut judgement = Self {
            events: steady.calls.values().map(Vec::len).sum(),
            doubled: moody.doubled + steady.doubled,
            repeats: [moody.repeats, steady.repeats],
            steady_ms: percentiles(steady.delays_ms),
            moody_ms: percentiles(moody.delays_ms),
            ..Self::default()
        };
        for (call, events) in &steady.calls {
            let other = moody.calls.get(call).map_or(&[][..], Vec::as_slice);
            let missing = events.iter().filter(|event| !other.contains(event)).count();
            judgement.lost += missing;
            judgement.calls += usize::from(!other.is_empty());
            judgement.calls_ended += usize::from(events.iter().any(is_end));
            let behind_the_end =
                |events: &[Value]| events.iter().position(is_end).is_some_and(|end| end + 1 < events.len());
            let differs = missing == 0 && other != events.as_slice();
            judgement.out_of_order += usize::from(differs || behind_the_end(other) || behind_the_end(events));
        }
        judgement
    }

    pub(super) fn failures(&self, delivery: &Delivery, answered: usize, settled: Option<f64>) -> Vec<String> {
        let mut failures = Vec::new();
        if answered < delivery.calls {
            failures.push(format!(
                "{} of {} calls were not answered",
                delivery.calls - answered,
                delivery.calls
            ));
        }
        if settled.is_none() {
            let ended = self.calls_ended;
            failures.push(format!(
                "of {answered} calls the ends of {ended} were told, and {} events were lost",
                self.lost
            ));
        }
        for (count, what) in [
            (self.out_of_order, "calls were told of out of order"),
            (self.doubled, "events came under two keys, or keys stood for two"),
        ] {
            if count > 0 {
                failures.push(format!("{count} {what}"));
            }
        }
        if let Some(max) = delivery.steady_p99_ms.filter(|max| self.steady_ms[1] > *max) {
            let is = self.steady_ms[1];
            failures
                .push(format!("the good receiver was told after {is:.0} ms (p99), and not after {max:.0}"));
        }
        failures
    }
}

impl Told {
    fn of(all: &[Got]) -> Self {
        let mut told = Self { calls: BTreeMap::new(), repeats: 0, doubled: 0, delays_ms: Vec::new() };
        let mut keys: BTreeMap<&str, String> = BTreeMap::new();
        let mut bodies = BTreeSet::new();
        for got in all {
            let text = got.body.to_string();
            if let Some(before) = keys.get(got.key.as_str()) {
                told.repeats += usize::from(*before == text);
                told.doubled += usize::from(*before != text);
                continue;
            }
            told.doubled += usize::from(!bodies.insert(text.clone()));
            keys.insert(&got.key, text);
            let mut body = got.body.clone();
            if let (Some(fields), Some(created)) = (body.as_object_mut(), got.body["createdAt"].as_u64()) {
                // The one field in which the two differ.
                fields.remove("teamId");
                told.delays_ms.push(got.at_ms.saturating_sub(created) as f64);
            } else if let Some(fields) = body.as_object_mut() {
                fields.remove("teamId");
            }
            let call = got.body["threadId"].as_str().unwrap_or_default().to_owned();
            told.calls.entry(call).or_default().push(body);
        }
        told
    }
}

fn is_end(event: &Value) -> bool {
    event["eventType"] == "Call.ended"
}

fn percentiles(mut all: Vec<f64>) -> [f64; 3] {
    all.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (all.len() as f64 * share).ceil() as usize;
        all.get(place.saturating_sub(1)).copied().unwrap_or_default()
    };
    [at(0.5), at(0.99), at(1.0)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn got(key: &str, team: &str, r#type: &str) -> Got {
        let body = json!({ "teamId": team, "eventType": r#type, "threadId": "t", "n": r#type });
        Got { key: key.into(), body, at_ms: 0 }
    }

    fn all(receiver: &str, types: &[&str]) -> Vec<Got> {
        let told = types.iter().enumerate();
        told.map(|(n, r#type)| got(&format!("{receiver}-{n}"), receiver, r#type)).collect()
    }

    const WHOLE: [&str; 3] = ["Call.created", "Call.Member.leaved", "Call.ended"];

    #[test]
    fn the_same_in_the_same_order_is_good_and_repeats_are_counted() {
        let mut moody = all("a", &WHOLE);
        moody.insert(1, moody[0].clone());
        let judgement = Judgement::of(&moody, &all("b", &WHOLE));
        assert_eq!(
            (judgement.events, judgement.lost, judgement.out_of_order, judgement.doubled),
            (3, 0, 0, 0)
        );
        assert_eq!((judgement.repeats, judgement.calls, judgement.calls_ended), ([1, 0], 1, 1));
    }

    #[test]
    fn what_is_lost_out_of_order_or_doubled_is_found() {
        let steady = all("b", &WHOLE);
        assert_eq!(Judgement::of(&all("a", &WHOLE[..2]), &steady).lost, 1);
        let mixed = [WHOLE[1], WHOLE[0], WHOLE[2]];
        assert_eq!(Judgement::of(&all("a", &mixed), &steady).out_of_order, 1);
        let mut twice = all("a", &WHOLE);
        twice.push(got("a-9", "a", WHOLE[0]));
        assert_eq!(Judgement::of(&twice, &steady).doubled, 1);
        let mut reused = all("a", &WHOLE);
        reused.push(got("a-0", "a", "Call.Member.held"));
        assert_eq!(Judgement::of(&reused, &steady).doubled, 1);
    }
}

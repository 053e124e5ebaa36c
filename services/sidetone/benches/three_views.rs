//! How long a hold through dialect 003 takes to be seen as HELD in 002 and as member:media in 000, over real HTTP, from before the
//! request is sent; beside it, as a baseline, the request's own answer. The aim is 50 ms.
//!
//! `cargo bench -p sidetone --bench three_views` prints medians and 99th percentiles; with `--test` it holds once.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench tells, and stops where something is wrong"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::views::{Scene, scene};

const ROUNDS: usize = 200;
const LOOK_EVERY: Duration = Duration::from_micros(200);
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Times of one kind, from the request on.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn print(mut self, what: &str) {
        self.0.sort_unstable();
        let at = |share: f64| {
            let place = (self.0.len() as f64 * share).ceil() as usize;
            self.0[place.saturating_sub(1)].as_secs_f64() * 1000.0
        };
        println!("{what:<44} p50 {:>7.2} ms   p99 {:>7.2} ms", at(0.5), at(0.99));
    }
}

/// How many member:media events the application was told of.
fn told(scene: &Scene) -> usize {
    scene.application_hears.column("type").iter().filter(|r#type| *r#type == "member:media").count()
}

fn is_held(events: &[Value]) -> bool {
    events.iter().any(|event| event["callData"]["state"] == "HELD")
}

/// Holds and waits until both others have seen it: until the answer, 002, 000.
async fn hold(scene: &Scene, who: &Value) -> [Duration; 3] {
    let before = told(scene);
    scene.ada.forget();
    let start = Instant::now();
    let asked = async {
        scene.bot.done("call.user/hold", who.clone()).await;
        start.elapsed()
    };
    let seen = async {
        let mut at = [None; 2];
        while at.contains(&None) {
            assert!(start.elapsed() < WAIT_MAX, "a hold was not seen\n{}", scene.installation.logs());
            if at[0].is_none() && is_held(&scene.ada.events()) {
                at[0] = Some(start.elapsed());
            }
            if at[1].is_none() && told(scene) > before {
                at[1] = Some(start.elapsed());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        at.map(Option::unwrap_or_default)
    };
    let (answered, [held, media]) = tokio::join!(asked, seen);
    [answered, held, media]
}

async fn measure(rounds: usize) -> [Times; 3] {
    let scene = scene().await;
    let who = json!({ "threadId": scene.ada.call_ref(), "contactId": "user1001" });
    let mut times = [Times::default(), Times::default(), Times::default()];
    for _ in 0..rounds {
        let took = hold(&scene, &who).await;
        times.iter_mut().zip(took).for_each(|(times, took)| times.0.push(took));
        let before = told(&scene);
        scene.bot.done("call.user/unhold", who.clone()).await;
        scene.until("it is told", || told(&scene) > before).await;
    }
    times
}

fn main() {
    let once = std::env::args().any(|argument| argument == "--test");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let [answered, held, media] = runtime.block_on(measure(if once { 1 } else { ROUNDS }));
    answered.print("003 answers the hold (baseline)");
    held.print("002 shows HELD");
    media.print("000 tells of member:media");
}

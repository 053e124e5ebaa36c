//! SIGKILL of signalling with two hundred calls up, half of them over UDP and half over TCP: nobody hears anything of it, and
//! hanging up, changing and refreshing work afterwards from both sides.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it saw")]

mod support;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sidetone_testkit::phone::{Call, Direction, EndedBy, Phone, PhoneConfig, PhoneError, Transport};
use support::phones::eventually;
use support::process::{Installation, More};

/// Each has one call.
const CALLERS: usize = 200;
/// So many of them talk with a phone, the others with the echo.
const PAIRS: usize = 40;
/// Pairs of which one is held and taken back by the API: what the other is offered then is ours.
const HELD: usize = 12;
/// Phones that do something at the same time.
const AT_ONCE: usize = 16;
/// Packets that every call must have heard while signalling is away: two seconds of sound.
const PACKETS: u64 = 100;
/// A session of 90 s is refreshed after 45; the rest is for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(80);
const CALLER: usize = 2000;
const CALLEE: usize = 2500;
/// An echo for those alone who have proved who they are.
const ECHO: &str = "9195";

fn transport(n: usize) -> Transport {
    if n.is_multiple_of(2) { Transport::Udp } else { Transport::Tcp }
}

/// One call and its phones.
struct Talk {
    n: usize,
    caller: Phone,
    at_caller: Call,
    /// Of a pair.
    callee: Option<(Phone, Call)>,
}

impl Talk {
    fn number(&self) -> String {
        (CALLER + self.n).to_string()
    }

    /// Whether its caller leaves it to us to refresh the session (RFC 4028).
    fn is_refreshed_by_us(n: usize) -> bool {
        n % 5 == 4
    }

    /// Whether its caller hangs up; the others are hung up by the API.
    fn ends_by_phone(&self) -> bool {
        (self.n / 2).is_multiple_of(2)
    }

    fn sides(&self) -> impl Iterator<Item = &Call> {
        std::iter::once(&self.at_caller).chain(self.callee.iter().map(|(_, call)| call))
    }

    fn phones(&self) -> impl Iterator<Item = &Phone> {
        std::iter::once(&self.caller).chain(self.callee.iter().map(|(phone, _)| phone))
    }
}

fn seed() -> String {
    let numbers = (CALLER..CALLER + CALLERS).chain(CALLEE..CALLEE + PAIRS);
    let user = |number| {
        format!(
            "[[seed.tenants.users]]\nuser = \"user{number}\"\nnumbers = [\"{number}\"]\n\
             devices = [{{ device = \"desk{number}\", auth_username = \"{number}\", password = \"secret-{number}\" }}]\n"
        )
    };
    let users: String = numbers.map(user).collect();
    format!("{users}[[seed.tenants.numbers]]\nnumber = \"{ECHO}\"\necho = true\n")
}

async fn phone(installation: &Installation, n: usize, transport: Transport) -> Phone {
    let (number, password) = (n.to_string(), format!("secret-{n}"));
    let config = PhoneConfig::new(installation.sip, "127.0.0.1", &number, &password);
    let phone = Phone::start(PhoneConfig { transport, auto_answer: true, ..config }).await.unwrap();
    phone.register().await.unwrap_or_else(|error| panic!("{number}: {error}\n{}", installation.logs()));
    phone
}

async fn talk(installation: &Installation, n: usize) -> Talk {
    let callee = match n < PAIRS {
        true => Some(phone(installation, CALLEE + n, transport(n / 4)).await),
        false => None,
    };
    let caller = phone(installation, CALLER + n, transport(n)).await;
    let number = if callee.is_some() { (CALLEE + n).to_string() } else { ECHO.to_owned() };
    let asked = [("Supported", "timer"), ("Session-Expires", "90;refresher=uas")];
    let headers = if Talk::is_refreshed_by_us(n) { &asked[..] } else { &[] };
    let at_caller = support::phones::call_with_again(&caller, &number, headers).await;
    let at_caller = at_caller.unwrap_or_else(|error| {
        panic!("{n}: {error}\n{}\n{}", caller.trace().join("\n"), installation.logs())
    });
    let callee = match callee {
        Some(phone) => {
            eventually(installation, "the phone is in the call", || !phone.calls().is_empty()).await;
            let call = phone.calls().remove(0);
            Some((phone, call))
        }
        None => None,
    };
    Talk { n, caller, at_caller, callee }
}

/// Does the same with all of them, some at a time.
async fn each<'a, F: Future<Output = Result<(), PhoneError>>>(
    installation: &Installation,
    what: &str,
    talks: impl IntoIterator<Item = &'a Talk>,
    act: impl Fn(&'a Talk) -> F,
) {
    let acting = stream::iter(talks).map(|talk| {
        let acting = act(talk);
        async move { acting.await.map_err(|error| (talk, error)) }
    });
    if let Err((talk, error)) = acting.buffer_unordered(AT_ONCE).try_collect::<()>().await {
        let trace = talk.caller.trace().join("\n");
        panic!(
            "{what}, {} over {:?}: {error}\n{trace}\n{}",
            talk.number(),
            transport(talk.n),
            installation.logs()
        );
    }
}

fn packets(talks: &[Talk]) -> Vec<u64> {
    talks.iter().flat_map(Talk::sides).map(|call| call.ear().received().packets).collect()
}

/// Every side of every call hears on.
async fn sound_goes_on(installation: &Installation, talks: &[Talk], what: &str) {
    let so_far = packets(talks);
    eventually(installation, what, || {
        packets(talks).iter().zip(&so_far).all(|(now, before)| *now >= before + PACKETS)
    })
    .await;
}

/// All live calls: by itself the command shows a hundred.
fn calls(installation: &Installation) -> serde_json::Value {
    installation.json(&["calls", "list", "--limit", "500"])
}

fn count(installation: &Installation) -> usize {
    calls(installation).as_array().unwrap().len()
}

/// The id of each caller's call, and of its leg, by its number.
fn ids(installation: &Installation) -> HashMap<String, (String, String)> {
    let calls = calls(installation);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let legs = calls.as_array().unwrap().iter().flat_map(|call| {
        let id = text(&call["call_id"]);
        let legs = call["legs"].as_array().unwrap().iter();
        legs.map(move |leg| (text(&leg["party"]["number"]), (id.clone(), text(&leg["leg_id"]))))
            .collect::<Vec<_>>()
    });
    legs.collect()
}

/// Phones over TCP notice that their connection is gone, and come back; those over UDP have noticed nothing.
async fn come_back(installation: &Installation, talks: &[Talk]) {
    each(installation, "comes back", talks, |talk| async move {
        for (phone, over) in talk.phones().zip([transport(talk.n), transport(talk.n / 4)]) {
            if over == Transport::Tcp {
                phone.reconnect().await?;
                phone.register().await?;
            }
        }
        Ok(())
    })
    .await;
}

/// What phones ask for within a call.
async fn phones_refresh_and_change(installation: &Installation, talks: &[Talk]) {
    let own = talks.iter().filter(|talk| !Talk::is_refreshed_by_us(talk.n));
    each(installation, "refreshes", own, |talk| async move {
        for call in talk.sides() {
            let answer = call.request("UPDATE", None).await?;
            let status = answer.status().unwrap_or(0);
            if status != 200 {
                return Err(PhoneError::Refused { status, reason: answer.reason().to_owned() });
            }
        }
        Ok(())
    })
    .await;
    let changing = talks.iter().filter(|talk| talk.n % 5 < 2);
    each(installation, "holds and takes back", changing, |talk| async move {
        talk.at_caller.reinvite(Direction::SendOnly).await?;
        talk.at_caller.reinvite(Direction::SendRecv).await
    })
    .await;
}

/// What we ask phones for: a refresh where it was left to us, and a change where the API holds somebody.
async fn we_refresh_and_change(installation: &Installation, talks: &[Talk]) {
    let ours = || talks.iter().filter(|talk| Talk::is_refreshed_by_us(talk.n));
    let is_refreshed = |talk: &Talk| {
        let trace = talk.caller.trace();
        let asked = trace.iter().any(|message| {
            message.starts_with("<-")
                && message.contains("\nINVITE ")
                && message.contains("Session-Expires: 90")
        });
        asked && trace.iter().any(|message| message.starts_with("<-") && message.contains("\nACK "))
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Some(talk) = ours().find(|talk| !is_refreshed(talk)) {
        let late = tokio::time::Instant::now() > deadline;
        assert!(
            !late,
            "{} is ours to refresh, and is not\n{}\n{}",
            talk.number(),
            talk.caller.trace().join("\n"),
            installation.logs()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ids = ids(installation);
    let described =
        |call: &Call, direction| call.remote().is_some_and(|remote| remote.direction == direction);
    for talk in &talks[..HELD] {
        let (_, at_callee) = talk.callee.as_ref().unwrap();
        let (_, leg) = &ids[&talk.number()];
        for (command, direction) in [("hold", Direction::SendOnly), ("retrieve", Direction::SendRecv)] {
            installation.command(&["calls", command, leg]).unwrap();
            let what = format!("{command} of {} is offered to the other", talk.number());
            eventually(installation, &what, || described(at_callee, direction)).await;
        }
    }
}

async fn all_end(installation: &Installation, talks: &[Talk]) {
    let ids = ids(installation);
    let (by_phone, by_us): (Vec<_>, Vec<_>) = talks.iter().partition(|talk| talk.ends_by_phone());
    each(
        installation,
        "hangs up",
        by_phone.iter().copied(),
        |talk| async move { talk.at_caller.hang_up().await },
    )
    .await;
    for talk in &by_us {
        installation.command(&["calls", "hang-up", &ids[&talk.number()].0]).unwrap();
    }
    let ended_by_us = |call: &Call| matches!(call.ended(), Some(EndedBy::FarEnd { .. }));
    for talk in talks {
        let far: Vec<&Call> = talk.sides().skip(usize::from(talk.ends_by_phone())).collect();
        let what = format!("the phones of {} have their BYE", talk.number());
        eventually(installation, &what, || far.iter().all(|call| ended_by_us(call))).await;
    }
    eventually(installation, "no call is left", || count(installation) == 0).await;
    let signalling = installation.signalling.as_ref().unwrap();
    eventually(installation, "no leg is left", || signalling.metric("sidetone_signalling_legs_count") == 0.0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_over_udp_and_tcp_outlive_signalling() {
    let mut installation = Installation::four_processes_of(&More {
        seed: &seed(),
        call_control: "hold_told = true",
        // All phones have one address here.
        signalling: "[signalling.defence]\nexempt = [\"127.0.0.1\"]\n",
        ..More::default()
    });
    let talks = stream::iter(0..CALLERS).map(|n| talk(&installation, n)).buffered(AT_ONCE);
    let talks: Vec<Talk> = talks.collect().await;
    assert_eq!(count(&installation), CALLERS);
    sound_goes_on(&installation, &talks, "everybody hears").await;
    let lost = || talks.iter().flat_map(Talk::sides).map(|call| call.ear().received().lost).sum::<u64>();
    let before = lost();

    installation.signalling.as_mut().unwrap().kill();
    sound_goes_on(&installation, &talks, "everybody hears on without signalling").await;
    let signalling = installation.signalling.as_mut().unwrap();
    signalling.restart();
    signalling.wait_until_ready();
    let signalling = installation.signalling.as_ref().unwrap();
    let legs = (CALLERS + PAIRS) as f64;
    let known = || signalling.metric("sidetone_signalling_legs_count") == legs;
    eventually(&installation, "signalling knows all legs again", known).await;
    come_back(&installation, &talks).await;
    sound_goes_on(&installation, &talks, "everybody hears on afterwards").await;
    let gaps = talks.iter().flat_map(Talk::sides).map(|call| call.ear().received().max_gap_ms);
    eprintln!("{} packets lost, the longest pause was {} ms", lost() - before, gaps.fold(0.0, f64::max));
    assert_eq!(lost(), before, "packets were lost");
    assert_eq!(count(&installation), CALLERS, "a call has ended");
    assert!(talks.iter().flat_map(Talk::sides).all(|call| call.ended().is_none()));

    phones_refresh_and_change(&installation, &talks).await;
    we_refresh_and_change(&installation, &talks).await;
    sound_goes_on(&installation, &talks, "everybody hears on after all changes").await;
    all_end(&installation, &talks).await;
}

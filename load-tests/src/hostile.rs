//! Calls and registered phones while others attack, and while some of the phones' own datagrams arrive damaged.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use sidetone_testkit::line::{BadLine, damage};
use sidetone_testkit::netem::Dice;
use sidetone_testkit::phone::{Phone, PhoneConfig, PhoneError};

use crate::delay::{Delay, Marking, hold};
use crate::generator::{Generator, cpu_time};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::traffic::{Caller, Credential, Progress, Target, hang_up, judge, phone_config, set_up, tone};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hostility {
    /// Hostile datagrams for each of the phones' own, 0 to 1.
    pub hostile: f64,
    /// Share of the phones' own datagrams that arrive damaged, 0 to 0.5.
    pub damaged: f64,
    /// Of the random numbers.
    pub seed: u64,
}

/// What there was of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Harm {
    /// Datagrams of phones, SIP and RTP.
    pub sent: u64,
    /// Those of them that were damaged.
    pub damaged: u64,
    /// Hostile datagrams.
    pub hostile: u64,
    /// Calls and registrations that were tried again, because what was damaged had earned a refusal.
    pub tried_again: u64,
    /// Phones that registered, and at the end were still registered.
    pub registered: usize,
    /// Phones that should have.
    pub phones: usize,
}

impl Default for Hostility {
    fn default() -> Self {
        Self { hostile: 0.01, damaged: 0.01, seed: 1 }
    }
}

/// Runs the scenario. The first credentials call an echo, the others register and wait.
pub async fn run(
    scenario: &Scenario,
    target: &Target,
    credentials: &[Credential],
    progress: &dyn Progress,
) -> Report {
    let cpu = cpu_time();
    let how = scenario.hostile;
    let line = Arc::new(BadLine::new(how.seed, how.damaged));
    let attack = Attack::start(target, &scenario.number, how, Arc::clone(&line));
    let (calling, waiting) = credentials.split_at(scenario.calls.min(credentials.len()));
    let phones = registered(scenario, target, waiting, &line).await;
    let config = |(n, credential): (usize, &Credential)| {
        let mut config = phone_config(target, credential, tone(n, scenario.calls));
        config.line = Some(Arc::clone(&line));
        config
    };
    let configs: Vec<PhoneConfig> =
        calling.iter().cycle().take(scenario.calls).enumerate().map(config).collect();
    let callers = set_up(scenario, configs, calling.len(), |_| scenario.number.clone(), progress).await;
    attack.know(&callers);
    let calls = || callers.iter().filter_map(|caller| caller.call.as_ref().ok());
    calls().for_each(|call| call.ear().forget());
    let everybody = |_| calls().map(|call| Marking { talker: call, listeners: vec![call] }).collect();
    let (caught, still) = tokio::join!(hold(scenario, everybody), renewed(scenario, &phones));
    let reports = callers
        .iter()
        .map(|caller| judge(caller, caller.call.as_ref().is_ok_and(|call| call.ear().hears(caller.tone_hz))))
        .collect();
    let generator = Generator::of(calls(), cpu);
    let again = callers.iter().map(|caller| caller.tried_again).sum::<u64>();
    let harm = Harm {
        sent: line.sent(),
        damaged: line.damaged(),
        hostile: attack.sent(),
        tried_again: again + still.iter().map(|(_, again)| again).sum::<u64>(),
        registered: still.iter().filter(|(good, _)| *good).count(),
        phones: scenario.phones,
    };
    drop(attack);
    hang_up(&callers, progress).await;
    let measured = (Delay::of(scenario.kind, &caught), generator);
    Report::new(scenario, reports, Vec::new(), measured).with_harm(harm)
}

/// A phone that waits, or why it does not; and how often it tried again.
type Waiting = (Result<Phone, PhoneError>, u64);

async fn registered(
    scenario: &Scenario,
    target: &Target,
    credentials: &[Credential],
    line: &Arc<BadLine>,
) -> Vec<Waiting> {
    let start = tokio::time::Instant::now();
    let phones = credentials.iter().take(scenario.phones).enumerate().map(|(n, credential)| async move {
        // Registering costs the server less than a call does.
        let after = n as f64 / (scenario.calls_per_second * REGISTRATIONS_A_CALL);
        tokio::time::sleep_until(start + Duration::from_secs_f64(after)).await;
        let mut config = phone_config(target, credential, 0.0);
        (config.tone_hz, config.line) = (None, Some(Arc::clone(line)));
        match Phone::start(config).await {
            Ok(phone) => {
                let (result, again) = register(&phone).await;
                (result.map(|()| phone), again)
            }
            Err(error) => (Err(error), 0),
        }
    });
    join_all(phones).await
}

/// Every phone registers again, spread over the time for which calls are held; whether each is, and how often it tried again.
async fn renewed(scenario: &Scenario, phones: &[Waiting]) -> Vec<(bool, u64)> {
    let held = Duration::from_secs(scenario.seconds);
    let renewals = phones.iter().enumerate().map(|(n, (phone, again))| async move {
        let Ok(phone) = phone else { return (false, *again) };
        tokio::time::sleep(held.mul_f64(n as f64 / phones.len() as f64)).await;
        let (result, more) = register(phone).await;
        (result.is_ok(), again + more)
    });
    join_all(renewals).await
}

async fn register(phone: &Phone) -> (Result<(), PhoneError>, u64) {
    let mut again = 0;
    loop {
        match phone.register().await {
            Err(error) if earned(&error) && again < AGAIN_MAX => again += 1,
            result => return (result, again),
        }
    }
}

/// Whether a damaged request may have earned that: with other words it would have been taken.
pub(crate) fn earned(error: &PhoneError) -> bool {
    matches!(error, PhoneError::Refused { status: 400..500, .. })
}

/// Somebody who sends for each hundred datagrams of the phones one that means harm.
struct Attack {
    shared: Arc<Shared>,
}

struct Shared {
    stop: AtomicBool,
    sent: AtomicU64,
    calls: std::sync::Mutex<Known>,
}

/// What an attacker may have learned of the calls. Their tags are not among it: those nobody has but both ends.
#[derive(Default)]
struct Known {
    media: Vec<SocketAddr>,
    call_ids: Vec<String>,
}

impl Attack {
    fn start(target: &Target, number: &str, how: Hostility, line: Arc<BadLine>) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            calls: std::sync::Mutex::default(),
        });
        let (attack, domain, number) = (Arc::clone(&shared), target.domain.clone(), number.to_owned());
        let server = target.server;
        // A thread of its own: a full runtime must not spare the server. Without one there is no attack, which the report says.
        let _ = std::thread::Builder::new().name("attack".into()).spawn(move || {
            let Ok(socket) = UdpSocket::bind((attacker_ip(server), 0)) else { return };
            let mut dice = Dice::new(how.seed);
            while !attack.stop.load(Ordering::Relaxed) {
                let due = (line.sent() as f64 * how.hostile) as u64;
                for _ in attack.sent.load(Ordering::Relaxed)..due {
                    let (bytes, to) = attack.next(server, &domain, &number, &mut dice);
                    // One that cannot be sent is none.
                    if socket.send_to(&bytes, to).is_ok() {
                        attack.sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::sleep(PAUSE);
            }
        });
        Self { shared }
    }

    /// From now on the calls are attacked, too: their ports, and by their Call-ID.
    fn know(&self, callers: &[Caller]) {
        let mut known = self.shared.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for call in callers.iter().filter_map(|caller| caller.call.as_ref().ok()) {
            known.media.extend(call.remote().map(|remote| remote.audio));
            known.call_ids.push(call.call_id());
        }
    }

    fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    /// The next datagram, and where it goes.
    fn next(&self, server: SocketAddr, domain: &str, number: &str, dice: &mut Dice) -> (Vec<u8>, SocketAddr) {
        let Known { media, call_ids } =
            &*self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match dice.below(4) {
            0 | 1 if !media.is_empty() => {
                let to = media[dice.below(media.len() as u64) as usize];
                (hostile_media(dice), to)
            }
            2 if !call_ids.is_empty() => {
                let call_id = &call_ids[dice.below(call_ids.len() as u64) as usize];
                (hostile_sip(domain, number, Some(call_id), dice), server)
            }
            _ => (hostile_sip(domain, number, None, dice), server),
        }
    }
}

/// Requests and responses that are whole, damaged, or noise; some of a call that there is.
fn hostile_sip(domain: &str, number: &str, call_id: Option<&str>, dice: &mut Dice) -> Vec<u8> {
    let n = dice.below(1 << 32);
    let own = format!("h{n}");
    let call_id = call_id.unwrap_or(&own);
    let method = ["INVITE", "BYE", "CANCEL", "ACK", "REGISTER", "OPTIONS", "SUBSCRIBE"][n as usize % 7];
    let text = format!(
        "{method} sip:{number}@{domain} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bK{n}\r\n\
         From: <sip:{number}@{domain}>;tag=t{n}\r\nTo: <sip:{number}@{domain}>;tag={n}\r\nCall-ID: {call_id}\r\n\
         CSeq: {} {method}\r\nContact: <sip:x@192.0.2.66>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        n % 9
    );
    match dice.below(4) {
        0 => damage(text.as_bytes(), &mut |bound| dice.below(bound.max(1))),
        1 => noise(dice),
        2 => text.into_bytes(),
        _ => {
            let line = format!("{method} sip:{number}@{domain} SIP/2.0");
            text.replacen(&line, "SIP/2.0 200 OK", 1).into_bytes()
        }
    }
}

/// RTP with any payload type, RTCP that ends a source, STUN, and noise.
fn hostile_media(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = noise(dice);
    bytes.resize(bytes.len().max(172), 0);
    match dice.below(4) {
        0 => bytes[0] = 0x80,
        // BYE (RFC 3550, section 6.6).
        1 => bytes[..4].copy_from_slice(&[0x81, 203, 0, 1]),
        // A binding request (RFC 8489, section 5).
        2 => bytes[..8].copy_from_slice(&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42]),
        _ => {}
    }
    bytes
}

fn noise(dice: &mut Dice) -> Vec<u8> {
    (0..=dice.below(1400)).map(|_| dice.below(256) as u8).collect()
}

/// Not where the phones are, if that can be: the server bans sources.
fn attacker_ip(server: SocketAddr) -> IpAddr {
    match server.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::new(127, 0, 0, 66).into(),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// How often a phone asks again what a damaged request was refused.
pub(crate) const AGAIN_MAX: u64 = 5;
const REGISTRATIONS_A_CALL: f64 = 4.0;
const PAUSE: Duration = Duration::from_millis(5);

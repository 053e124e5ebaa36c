//! rtpengine in user space, one worker thread, as a SIP proxy would drive it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;

use crate::job::{EVENT_PAYLOAD_TYPE, Job, OPUS_BITRATE_BPS};
use crate::ng::{Ng, Value};
use crate::peer::Place;
use crate::process::Process;
use crate::stream::{SUITE, key, payload_type};

/// rtpengine, running.
pub(crate) struct Rtpengine {
    pub(crate) process: Process,
    ng: Ng,
}

const NG_PORT: u16 = 22_222;

impl Rtpengine {
    pub(crate) async fn start(cpu: usize) -> anyhow::Result<Self> {
        let arguments = [
            "--config-file=none",
            "--foreground",
            "--interface=127.0.0.1",
            "--table=-1",
            "--num-threads=1",
            "--log-level=2",
            "--port-min=30000",
            "--port-max=40000",
            "--no-fallback",
            &format!("--listen-ng=127.0.0.1:{NG_PORT}"),
        ]
        .map(str::to_owned);
        let mut process = Process::start(Path::new("rtpengine"), &arguments, cpu)?;
        let mut ng = Ng::to((Ipv4Addr::LOCALHOST, NG_PORT).into()).await?;
        let mut answered = Err(anyhow::anyhow!("not asked"));
        for _ in 0..50 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            process.check()?;
            answered = ng.ask(&[("command", Value::Text("ping"))]).await;
            if answered.is_ok() {
                break;
            }
        }
        answered?;
        Ok(Self { process, ng })
    }

    /// The first of each pair calls, the second is called.
    pub(crate) async fn set_up(&mut self, job: Job, ours: &[SocketAddr]) -> anyhow::Result<Vec<Place>> {
        let mut places = Vec::new();
        for (pair, legs) in ours.chunks(2).enumerate() {
            let call = format!("call{pair}");
            let bitrate = format!("opus/48000/2/{OPUS_BITRATE_BPS}");
            let (caller, callee) = (name(job.codec(0)), name(job.codec(1)));
            let (mask, transcode, set) = ([caller], [callee], [bitrate.as_str()]);
            let mut codec = vec![("mask", Value::Texts(&mask)), ("transcode", Value::Texts(&transcode))];
            if caller == "opus" || callee == "opus" {
                codec.push(("set", Value::Texts(&set)));
            }
            let offer = sdp(job, pair * 2, legs[0]);
            let mut command = vec![
                ("command", Value::Text("offer")),
                ("call-id", Value::Text(&call)),
                ("from-tag", Value::Text("a")),
                ("ICE", Value::Text("remove")),
                ("transport-protocol", Value::Text("RTP/AVP")),
                ("sdp", Value::Text(&offer)),
            ];
            if caller != callee {
                command.push(("codec", Value::Dictionary(&codec)));
            }
            let begin = Instant::now();
            let to_callee = self.ng.ask(&command).await?;
            let (offer_took, begin) = (begin.elapsed(), Instant::now());
            let answer = sdp(job, pair * 2 + 1, legs[1]);
            let to_caller = self
                .ng
                .ask(&[
                    ("command", Value::Text("answer")),
                    ("call-id", Value::Text(&call)),
                    ("from-tag", Value::Text("a")),
                    ("to-tag", Value::Text("b")),
                    ("ICE", Value::Text("remove")),
                    ("sdp", Value::Text(&answer)),
                ])
                .await?;
            let place =
                |sdp: &str, took| anyhow::Ok(Place { address: address_in(sdp)?, key: key_in(sdp)?, took });
            places.push(place(&to_caller, begin.elapsed())?);
            places.push(place(&to_callee, offer_took)?);
        }
        Ok(places)
    }
}

fn name(codec: Codec) -> &'static str {
    match codec {
        Codec::G711(Law::A) => "PCMA",
        Codec::G711(Law::Mu) => "PCMU",
        Codec::Gsm => "GSM",
        Codec::G722 => "G722",
        _ => "opus",
    }
}

fn sdp(job: Job, leg: usize, at: SocketAddr) -> String {
    let codec = job.codec(leg);
    let (payload_type, name) = (payload_type(codec), name(codec));
    let (ip, port) = (at.ip(), at.port());
    let profile = if job.is_secured(leg) { "RTP/SAVP" } else { "RTP/AVP" };
    let (clock, event_clock) = if codec == Codec::Opus { ("48000/2", "48000") } else { ("8000", "8000") };
    let events = EVENT_PAYLOAD_TYPE;
    let format = if job.has_events() { format!("{payload_type} {events}") } else { payload_type.to_string() };
    let mut sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} {profile} {format}\r\na=rtpmap:{payload_type} {name}/{clock}\r\na=ptime:20\r\n",
    );
    if job.has_events() {
        sdp += &format!("a=rtpmap:{events} telephone-event/{event_clock}\r\na=fmtp:{events} 0-15\r\n");
    }
    if codec == Codec::Opus {
        sdp += &format!("a=fmtp:{payload_type} stereo=0; sprop-stereo=0\r\n");
    }
    if job.is_secured(leg) {
        sdp += &format!("a=crypto:1 {} inline:{}\r\n", SUITE.name(), BASE64_STANDARD.encode(key(leg)));
    }
    sdp
}

fn address_in(sdp: &str) -> anyhow::Result<SocketAddr> {
    let port = sdp.split("m=audio ").nth(1).and_then(|line| line.split_whitespace().next());
    let port = port.context("rtpengine's SDP has no audio")?.parse()?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

/// The key of a description under SRTP.
fn key_in(sdp: &str) -> anyhow::Result<Option<Vec<u8>>> {
    if !sdp.contains("RTP/SAVP") {
        return Ok(None);
    }
    let of_suite = format!("{} inline:", SUITE.name());
    let inline = sdp.split(&of_suite).nth(1).and_then(|rest| rest.split(['\r', '\n', '|', ' ']).next());
    Ok(Some(BASE64_STANDARD.decode(inline.context("rtpengine's SDP has no key of our suite")?)?))
}

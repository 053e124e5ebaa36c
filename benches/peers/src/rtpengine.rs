//! rtpengine in user space, one worker thread, as a SIP proxy would drive it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;

use crate::job::Job;
use crate::ng::{Ng, Value};
use crate::process::Process;

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

    pub(crate) async fn set_up(&mut self, job: Job, ours: &[SocketAddr]) -> anyhow::Result<Vec<SocketAddr>> {
        let mut addresses = Vec::new();
        for (pair, legs) in ours.chunks(2).enumerate() {
            let call = format!("call{pair}");
            let transcoding = [("mask", Value::Texts(&["PCMU"])), ("transcode", Value::Texts(&["PCMA"]))];
            let sdp = sdp(legs[0], false);
            let mut offer = vec![
                ("command", Value::Text("offer")),
                ("call-id", Value::Text(&call)),
                ("from-tag", Value::Text("a")),
                ("ICE", Value::Text("remove")),
                ("sdp", Value::Text(&sdp)),
            ];
            if job == Job::MuLawToALaw {
                offer.push(("codec", Value::Dictionary(&transcoding)));
            }
            let to_callee = self.ng.ask(&offer).await?;
            let answer = self::sdp(legs[1], job == Job::MuLawToALaw);
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
            addresses.push(address_in(&to_caller)?);
            addresses.push(address_in(&to_callee)?);
        }
        Ok(addresses)
    }
}

fn sdp(leg: SocketAddr, a_law: bool) -> String {
    let (payload_type, name) = if a_law { (8, "PCMA") } else { (0, "PCMU") };
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {name}/8000\r\na=ptime:20\r\n",
        ip = leg.ip(),
        port = leg.port(),
    )
}

fn address_in(sdp: &str) -> anyhow::Result<SocketAddr> {
    let port = sdp.split("m=audio ").nth(1).and_then(|line| line.split_whitespace().next());
    let port = port.context("rtpengine's SDP has no audio")?.parse()?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

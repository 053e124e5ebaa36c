//! `sidetone calls ladder`: what the phones of a call and we have said to each other.

mod draw;
mod pcap;

use std::io::BufWriter;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use serde::Serialize;
use sidetone_model::party::Flow;
use sidetone_proto::signalling::v1::{LadderMessage, ReadCallLadderRequest};

use super::ClientArgs;
use super::client::explain;
use super::output::{Output, line, new_file, rows};

/// What to read and how to show it.
#[derive(Debug, clap::Args)]
pub(crate) struct LadderArgs {
    /// The call.
    call: String,
    /// Show numbers, names and bodies; for operators. Otherwise the same pseudonym stands for the same number.
    #[arg(long)]
    numbers: bool,
    /// Print the messages themselves below the ladder.
    #[arg(long)]
    messages: bool,
    /// Write a capture for Wireshark instead; messages of connections stand in it as datagrams, decrypted.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Write over a capture that is there.
    #[arg(long, requires = "pcap")]
    force: bool,
}

/// One message, for people and programs.
#[derive(Debug, Serialize)]
struct Message {
    at_unix_us: u64,
    time: String,
    leg_id: String,
    replica_id: String,
    transport: &'static str,
    from: SocketAddr,
    to: SocketAddr,
    /// The phone's or carrier's end.
    #[serde(skip)]
    remote: SocketAddr,
    received: bool,
    method: String,
    /// 0 for a request.
    status: u16,
    has_sdp: bool,
    message: String,
    #[serde(skip)]
    bytes: Vec<u8>,
}

pub(crate) async fn run(client: &ClientArgs, args: LadderArgs) -> anyhow::Result<()> {
    let request = ReadCallLadderRequest {
        tenant: client.tenant.clone(),
        call_id: args.call,
        show_numbers: args.numbers,
    };
    let stream = client.ladders()?.read_call_ladder(request).await.map_err(|s| explain(&s))?.into_inner();
    let found: Vec<LadderMessage> = stream.try_collect().await.map_err(|s| explain(&s))?;
    let messages = found.into_iter().map(Message::try_from).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(path) = &args.pcap {
        let file = new_file(path, args.force)?;
        pcap::write(&messages, &mut BufWriter::new(file))?;
        return line(&format!("{} messages in {}", messages.len(), path.display()));
    }
    if client.output == Output::Table {
        line(&draw::ladder(&messages))?;
        for message in messages.iter().filter(|_| args.messages) {
            line(&format!("\n{} {} to {}\n{}", message.time, message.from, message.to, message.message))?;
        }
        return Ok(());
    }
    let heads = ["time", "leg_id", "transport", "from", "to", "method", "status"];
    rows(client.output, &heads, &messages, |message| {
        vec![
            message.time.clone(),
            message.leg_id.clone(),
            message.transport.to_owned(),
            message.from.to_string(),
            message.to.to_string(),
            message.method.clone(),
            message.status.to_string(),
        ]
    })
}

impl TryFrom<LadderMessage> for Message {
    type Error = anyhow::Error;

    fn try_from(found: LadderMessage) -> anyhow::Result<Self> {
        let flow = Flow::try_from(found.flow.context("a message without a flow")?)?;
        let (from, to) = if found.received { (flow.remote, flow.local) } else { (flow.local, flow.remote) };
        let text = String::from_utf8_lossy(&found.message).into_owned();
        let (method, status) = what(&text);
        Ok(Self {
            at_unix_us: found.at_unix_us,
            time: time(found.at_unix_us),
            leg_id: found.leg_id,
            replica_id: found.replica_id,
            transport: flow.transport.uri_parameter(),
            from,
            to,
            remote: flow.remote,
            received: found.received,
            method,
            status,
            has_sdp: text.contains("\r\n\r\nv=0"),
            message: text,
            bytes: found.message,
        })
    }
}

/// Method and status of a message.
fn what(text: &str) -> (String, u16) {
    let first = text.lines().next().unwrap_or_default();
    let Some(status) = first.strip_prefix("SIP/2.0 ") else {
        return (first.split(' ').next().unwrap_or_default().to_owned(), 0);
    };
    let cseq = text.lines().find_map(|line| line.strip_prefix("CSeq:")).unwrap_or_default();
    let method = cseq.split_whitespace().next_back().unwrap_or_default();
    (method.to_owned(), status.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default())
}

/// The time of day with microseconds, in UTC.
fn time(unix_us: u64) -> String {
    let time = i64::try_from(unix_us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    time.map_or_else(|| "-".to_owned(), |time| time.strftime("%H:%M:%S%.6fZ").to_string())
}

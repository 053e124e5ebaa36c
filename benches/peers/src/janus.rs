//! Janus with its AudioBridge, whose participants join by plain RTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use sidetone_dsp::codec::Codec;

use crate::job::{Job, OPUS_BITRATE_BPS};
use crate::peer::Place;
use crate::process::Process;
use crate::stream::payload_type;

/// Janus, running.
pub(crate) struct Janus {
    pub(crate) process: Process,
    http: reqwest::Client,
    folder: PathBuf,
    transactions: u64,
}

const HTTP_PORT: u16 = 22_088;
const KEY: &str = "bench";

impl Janus {
    pub(crate) async fn start(cpu: usize) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("sidetone-bench-janus-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text);
        write("janus.jcfg", MAIN)?;
        write("janus.transport.http.jcfg", &HTTP.replace("PORT", &HTTP_PORT.to_string()))?;
        write("janus.plugin.audiobridge.jcfg", BRIDGE)?;
        let arguments = [format!("--configs-folder={}", folder.display()), "--disable-colors".to_owned()];
        let mut process = Process::start(Path::new("janus"), &arguments, cpu)?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let info = format!("http://127.0.0.1:{HTTP_PORT}/janus/info");
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            process.check()?;
            if http.get(&info).send().await.is_ok() {
                return Ok(Self { process, http, folder, transactions: 0 });
            }
        }
        anyhow::bail!("janus does not answer")
    }

    /// Every participant is a handle of one session; what a join leads to is read from the session's events.
    pub(crate) async fn set_up(&mut self, job: Job, ours: &[SocketAddr]) -> anyhow::Result<Vec<Place>> {
        let session = number(&self.post("", json!({"janus": "create"})).await?, "/data/id")?;
        let mut places = Vec::new();
        let group = job.group(ours.len());
        for (leg, address) in ours.iter().enumerate() {
            let begin = Instant::now();
            let attach = json!({"janus": "attach", "plugin": "janus.plugin.audiobridge"});
            let handle = number(&self.post(&format!("/{session}"), attach).await?, "/data/id")?;
            let path = format!("/{session}/{handle}");
            let attached = begin.elapsed();
            let room = 1000 + leg / group;
            let (codec, rate) = match job.codec(leg) {
                Codec::Opus => ("opus", 16_000),
                _ => ("pcmu", 8_000),
            };
            if leg % group == 0 {
                let create = json!({
                    "request": "create", "room": room, "sampling_rate": rate, "allow_rtp_participants": true,
                    "permanent": false, "admin_key": KEY, "audiolevel_event": false,
                });
                self.post(&path, json!({"janus": "message", "body": create})).await?;
            }
            let mut join = json!({
                "request": "join", "room": room, "codec": codec,
                "rtp": {
                    "ip": address.ip().to_string(), "port": address.port(), "payload_type": payload_type(job.codec(leg)),
                },
            });
            if codec == "opus" {
                join["bitrate"] = OPUS_BITRATE_BPS.into();
                join["quality"] = job.opus_complexity().into();
            }
            // The room itself was made once for all.
            let begin = Instant::now();
            self.post(&path, json!({"janus": "message", "body": join})).await?;
            let address = self.joined(session, handle).await?;
            places.push(Place { address, key: None, took: attached + begin.elapsed() });
        }
        Ok(places)
    }

    /// Reads events until that of the handle's own join; those of others who joined are passed over.
    async fn joined(&self, session: u64, handle: u64) -> anyhow::Result<SocketAddr> {
        loop {
            let url = format!("http://127.0.0.1:{HTTP_PORT}/janus/{session}?maxev=50");
            let events: Value = self.http.get(&url).send().await?.json().await?;
            let events = events.as_array().cloned().unwrap_or_else(|| vec![events.clone()]);
            for event in events.iter().filter(|event| event["sender"] == handle) {
                let data = &event["plugindata"]["data"];
                anyhow::ensure!(data.get("error").is_none(), "janus refuses a participant: {data}");
                if let Some(port) = data["rtp"]["port"].as_u64() {
                    return Ok((Ipv4Addr::LOCALHOST, u16::try_from(port)?).into());
                }
            }
        }
    }

    async fn post(&mut self, path: &str, mut body: Value) -> anyhow::Result<Value> {
        self.transactions += 1;
        body["transaction"] = Value::from(self.transactions.to_string());
        let url = format!("http://127.0.0.1:{HTTP_PORT}/janus{path}");
        let answer: Value = self.http.post(&url).json(&body).send().await?.json().await?;
        anyhow::ensure!(answer["janus"] != "error", "janus refuses: {answer}");
        Ok(answer)
    }
}

impl Drop for Janus {
    fn drop(&mut self) {
        // Left-overs in the folder for temporary files do no harm.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn number(answer: &Value, pointer: &str) -> anyhow::Result<u64> {
    answer.pointer(pointer).and_then(Value::as_u64).with_context(|| format!("janus answers {answer}"))
}

const MAIN: &str = r#"
general: {
    plugins_folder = "/usr/lib/x86_64-linux-gnu/janus/plugins"
    transports_folder = "/usr/lib/x86_64-linux-gnu/janus/transports"
    events_folder = "/usr/lib/x86_64-linux-gnu/janus/events"
    loggers_folder = "/usr/lib/x86_64-linux-gnu/janus/loggers"
    interface = "127.0.0.1"
    debug_level = 2
    session_timeout = 0
}
media: { rtp_port_range = "32000-41999" }
nat: { nice_debug = false }
plugins: { disable = "libjanus_duktape.so,libjanus_echotest.so,libjanus_lua.so,libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_videoroom.so,libjanus_voicemail.so" }
transports: { disable = "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_websockets.so" }
"#;

const HTTP: &str = r#"
general: { json = "compact", base_path = "/janus", http = true, port = PORT, ip = "127.0.0.1", https = false }
"#;

const BRIDGE: &str = r#"
general: { admin_key = "bench", events = false, local_ip = "127.0.0.1", rtp_port_range = "32000-41999" }
"#;

//! What is sent to a HOMER server, read by decoders that are not ours: kamailio's sipcapture, of which HOMER was made, and sngrep.
//! Skipped, with the reason printed, where they are not installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::harness;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::phone::Phone;
use harness::{Rig, within};
use sidetone_model::party::Transport;
use sidetone_signalling::{Config, HepConfig};

/// A decoder as a child process. It is ended when dropped.
struct Decoder {
    child: Child,
    folder: tempfile::TempDir,
}

impl Decoder {
    /// None, and a line that says so, where the program is not there. Its output goes to a file.
    fn start(package: &str, program: &str, arguments: impl Fn(&Path) -> Vec<String>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let started = Command::new(program)
            .args(arguments(folder.path()))
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        match started {
            Ok(child) => Some(Self { child, folder }),
            Err(_) => {
                eprintln!("SKIPPED: {package} is not installed (apt install {package})");
                None
            }
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Asks it to end, and waits until it has: killed, kamailio would leave its children.
    fn end(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        drop(self.child.wait());
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.end();
    }
}

fn free_address() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn reporting_to(address: SocketAddr) -> Rig {
    let hep = HepConfig {
        address: Some(address.to_string()),
        capture_id: 2026,
        password: Some("hep-key".to_owned()),
        ..HepConfig::default()
    };
    Rig::with(Config { hep, ..Config::default() }).await
}

/// Registers again and again until the decoder has what is looked for: what is sent before it listens is lost.
async fn until_seen(decoder: &Decoder, phone: &mut Phone, seen: impl Fn(&str) -> bool) {
    within(async {
        while !seen(&decoder.log()) {
            phone.register(600).await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn sipcapture_of_kamailio_reads_what_is_sent_to_homer() {
    let address = free_address();
    let decoder = Decoder::start("kamailio", "/usr/sbin/kamailio", |folder| {
        std::fs::write(folder.join("version"), "table_name(string) table_version(int)\nsip_capture:5\n")
            .unwrap();
        let config = CONFIG
            .replace("@ADDRESS@", &address.to_string())
            .replace("@FOLDER@", &folder.display().to_string());
        let file = folder.join("kamailio.cfg");
        std::fs::write(&file, config).unwrap();
        let (file, folder) = (file.display().to_string(), folder.display().to_string());
        ["-DD", "-E", "-m", "64", "-M", "8", "-f", &file, "-Y", &folder].map(str::to_owned).to_vec()
    });
    let Some(decoder) = decoder else { return };
    let rig = reporting_to(address).await;
    for (transport, token) in [(Transport::Udp, "udp"), (Transport::Tcp, "tcp")] {
        let mut phone = Phone::new(&rig, transport, "alpha.test", "1001", "pw-of-ada").await;
        let request = format!("request {token} {} REGISTER reg{}", phone.local, phone.local.port());
        let answer = format!("answer {token} {} 200 reg{}", rig.address(transport), phone.local.port());
        until_seen(&decoder, &mut phone, |log| log.contains(&request) && log.contains(&answer)).await;
    }
    assert!(!decoder.log().contains("could not parse"), "{}", decoder.log());
}

#[tokio::test]
async fn sngrep_reads_what_is_sent_to_homer() {
    let address = free_address();
    let mut decoder = Decoder::start("sngrep", "sngrep", |folder| {
        let (listen, file) = (format!("udp:{address}"), folder.join("seen.pcap").display().to_string());
        ["-N", "-R", "-L", &listen, "-O", &file].map(str::to_owned).to_vec()
    });
    let Some(decoder) = &mut decoder else { return };
    let rig = reporting_to(address).await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    until_seen(decoder, &mut phone, |log| {
        log.rsplit("Dialog count: ").next().is_some_and(|count| !count.starts_with('0') && !count.is_empty())
    })
    .await;
    decoder.end();
    let seen = std::fs::read(decoder.folder.path().join("seen.pcap")).unwrap();
    let text = String::from_utf8_lossy(&seen);
    assert!(text.contains("REGISTER sip:alpha.test SIP/2.0") && text.contains("SIP/2.0 401"), "{text}");
    // The addresses and ports of the one who spoke and of the one who was spoken to, as UDP has them.
    let ports = [phone.local.port().to_be_bytes(), rig.address(Transport::Udp).port().to_be_bytes()].concat();
    let way = [&[127, 0, 0, 1, 127, 0, 0, 1][..], &ports].concat();
    assert!(seen.windows(way.len()).any(|bytes| bytes == way), "no datagram from the phone to us");
}

const CONFIG: &str = r#"#!KAMAILIO
debug=2
log_stderror=yes
children=1
exit_timeout=3
auto_aliases=no
listen=udp:@ADDRESS@
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "db_text.so"
loadmodule "sipcapture.so"
modparam("sipcapture", "db_url", "text://@FOLDER@")
modparam("sipcapture", "hep_capture_on", 1)
modparam("sipcapture", "capture_on", 1)
request_route {
  xlog("L_WARN", "request $proto $si:$sp $rm $ci\n");
  drop;
}
onreply_route {
  xlog("L_WARN", "answer $proto $si:$sp $rs $ci\n");
  drop;
}
"#;

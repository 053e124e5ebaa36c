//! A second real telephone: linphonec (Belledonne's own SIP and media stack) as a child process, with a tone for a voice and
//! a file for an ear.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sidetone_dsp::goertzel::tone_level_dbov;

use super::process::{free_port, free_ports};
use super::sound;

/// What a phone is given.
pub struct Setup<'a> {
    /// Digest user name and number.
    pub number: &'a str,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'a str,
    /// The registrar, host:port.
    pub server: &'a str,
    /// The only codec it has: `opus`, `PCMU`, `PCMA`, `GSM` or `G722`.
    pub codec: &'a str,
    /// Its voice.
    pub tone_hz: u32,
    /// `srtp`, or `none`.
    pub encryption: &'a str,
    /// Whether it gathers ICE candidates.
    pub ice: bool,
    /// Whether it answers by itself.
    pub answers: bool,
}

/// One phone. It is ended when dropped.
pub struct Linphone {
    child: Child,
    folder: tempfile::TempDir,
    /// Samples a second of what it hears: its codec's.
    heard_hz: u32,
}

/// Whether the package is there.
pub fn is_installed() -> bool {
    Command::new("linphonec").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

impl Linphone {
    /// Starts a phone, which registers, and waits until it has.
    pub fn start(setup: &Setup<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Without its database it opens no port.
        std::fs::create_dir_all(folder.path().join(".local/share/linphone")).unwrap();
        std::fs::write(folder.path().join("voice.wav"), sound::wav(setup.tone_hz as f32, 120.0)).unwrap();
        std::fs::write(folder.path().join("phone.rc"), configuration(setup)).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("linphonec");
        command.arg("-c").arg(folder.path().join("phone.rc")).args(["-d", "6"]);
        if setup.answers {
            command.arg("-a");
        }
        let child = command
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("linphonec is installed");
        let heard_hz = CODECS.iter().find(|(mime, ..)| *mime == setup.codec).expect("it has that codec").3;
        let mut phone = Self { child, folder, heard_hz };
        phone.command("soundcard use files");
        phone.command(&format!("play {}", phone.path("voice.wav")));
        phone.command(&format!("record {}", phone.path("heard.wav")));
        phone.wait_for_log("moving from state [LinphoneRegistrationProgress] to [LinphoneRegistrationOk]");
        phone
    }

    /// Types a line.
    pub fn command(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("its standard input is a pipe");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).unwrap_or_else(|error| {
            panic!("linphonec takes no commands any more: {error}\n{}", self.log());
        });
    }

    /// Waits until a line of its log holds a text.
    pub fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in linphonec's log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the last half a second that it heard has a tone in it.
    pub fn wait_until_it_hears(&self, tone_hz: u32) {
        self.wait_for_level(tone_hz, |level| level > -28.0);
    }

    /// Waits until the last half a second that it heard has that tone no more, or only the trace of it that a codec leaves.
    pub fn wait_until_it_hears_no(&self, tone_hz: u32) {
        self.wait_for_level(tone_hz, |level| level < -45.0);
    }

    fn wait_for_level(&self, tone_hz: u32, fits: impl Fn(f32) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let level = self.level_of(tone_hz);
            if level.is_some_and(&fits) {
                return;
            }
            assert!(Instant::now() < deadline, "{tone_hz} Hz is at {level:?} dBov\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The level of a tone in the last half a second of what it heard, in dBov; none before that much was heard.
    pub fn level_of(&self, tone_hz: u32) -> Option<f32> {
        // The header is written when the file is closed: until then its 44 bytes say nothing.
        let bytes = std::fs::read(self.folder.path().join("heard.wav")).ok()?;
        let rate = self.heard_hz;
        let samples: Vec<i16> =
            bytes.get(44..)?.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        let last = samples.len().checked_sub(rate as usize / 2)?;
        Some(tone_level_dbov(&samples[last..], rate, tone_hz as f32))
    }

    /// Everything it says, SIP messages included.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join("log")).unwrap()).into_owned()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(setup: &Setup<'_>) -> String {
    let Setup { number, transport, server, encryption, .. } = setup;
    let (sip, rtp) = (free_port(), free_ports(2).next_multiple_of(2));
    let port = |kind: &str| if kind == *transport { sip } else { 0 };
    let codecs: String = CODECS
        .into_iter()
        .enumerate()
        .map(|(n, (mime, rate, channels, _))| {
            let enabled = u8::from(mime == setup.codec);
            format!("[audio_codec_{n}]\nmime={mime}\nrate={rate}\nchannels={channels}\nenabled={enabled}\n")
        })
        .collect();
    let ice = if setup.ice { "ice" } else { "" };
    format!(
        "[sip]\nuse_ipv6=0\nsip_port={}\nsip_tcp_port={}\nsip_tls_port={}\ndefault_proxy=0\nmedia_encryption={encryption}\n\
         verify_server_certs=0\nverify_server_cn=0\n\
         [net]\nnat_policy_ref=own\n[nat_policy_0]\nref=own\nprotocols={ice}\n\
         [proxy_0]\nreg_proxy=<sip:{server};transport={transport}>\nreg_identity=sip:{number}@127.0.0.1\n\
         reg_route=<sip:{server};transport={transport}>\nreg_expires=300\nreg_sendregister=1\nnat_policy_ref=own\n\
         [auth_info_0]\nusername={number}\npasswd=secret-{number}\ndomain=127.0.0.1\n\
         [rtp]\naudio_rtp_port={rtp}\n[sound]\nechocancellation=0\n{codecs}",
        port("udp"),
        port("tcp"),
        port("tls"),
    )
}

/// What it has: name, clock rate and channels as its configuration calls them, samples a second.
const CODECS: [(&str, u32, u8, u32); 6] = [
    ("opus", 48_000, 2, 48_000),
    ("PCMU", 8_000, 1, 8_000),
    ("PCMA", 8_000, 1, 8_000),
    ("GSM", 8_000, 1, 8_000),
    ("G722", 8_000, 1, 16_000),
    ("speex", 8_000, 1, 8_000),
];

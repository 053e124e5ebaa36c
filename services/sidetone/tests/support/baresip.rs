//! A real telephone: baresip as a child process, with a tone for a voice and a file for an ear.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sidetone_dsp::goertzel::tone_level_dbov;

use super::process::{free_port, free_ports};

/// What a phone is given.
pub struct Setup<'a> {
    /// Digest user name and number.
    pub number: &'a str,
    pub password: &'a str,
    /// `udp` or `tcp`.
    pub transport: &'a str,
    /// The registrar, host:port.
    pub server: &'a str,
    /// `PCMU`, `PCMA`, `GSM`, `G722` or `opus`, or several with commas between them, best first.
    pub codec: &'a str,
    /// Its voice.
    pub tone_hz: u32,
    /// `srtp` (an offer), `srtp-mand` (a must), or empty for plain RTP.
    pub encryption: &'a str,
}

/// One phone. It is ended when dropped.
pub struct Baresip {
    child: Child,
    control: u16,
    folder: tempfile::TempDir,
}

/// Whether the package is there.
pub fn is_installed() -> bool {
    Command::new("baresip").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

impl Baresip {
    /// Starts a phone; it registers and answers every call.
    pub fn start(setup: &Setup<'_>) -> Self {
        Self::start_with(setup, &[])
    }

    /// The same with more of its modules, by their names.
    pub fn start_with(setup: &Setup<'_>, modules: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // It takes the port after its SIP port too, for TLS.
        let (sip_port, control, rtp) = (free_ports(2), free_port(), free_ports(20).next_multiple_of(2));
        write_voice(&folder.path().join("voice.wav"), setup.tone_hz);
        let more: String = modules.iter().map(|module| format!("module_app {module}.so\n")).collect();
        let config = config(folder.path(), sip_port, control, rtp) + &more;
        std::fs::write(folder.path().join("config"), config).unwrap();
        std::fs::write(folder.path().join("accounts"), account(setup)).unwrap();
        std::fs::write(folder.path().join("contacts"), "").unwrap();
        std::fs::create_dir(folder.path().join("heard")).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("baresip")
            .arg("-f")
            .arg(folder.path())
            .arg("-v")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("baresip is installed");
        Self { child, control, folder }
    }

    /// Waits until a line of its log holds a text.
    pub fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in baresip's log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it is registered.
    pub fn wait_until_registered(&self) {
        self.wait_for_log("200 OK");
    }

    /// Calls a SIP URI.
    pub fn dial(&self, uri: &str) {
        self.command("dial", uri);
    }

    /// Ends the present call.
    pub fn hang_up(&self) {
        self.command("hangup", "");
    }

    /// Registers now, and not only when it is time again.
    pub fn register_again(&self) {
        self.command("uareg", "60 0");
    }

    /// Waits until it has heard a tone for a second, at the level of one voice.
    pub fn wait_until_it_hears(&self, tone_hz: u32) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let level = self.level_of(tone_hz);
            if level > -25.0 {
                return;
            }
            assert!(Instant::now() < deadline, "no tone of {tone_hz} Hz, only {level} dBov\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a second of what it hears has a tone at the level of one voice and less than `away_dbov` of another.
    pub fn wait_until_it_hears_but(&self, tone_hz: u32, away_hz: u32, away_dbov: f32) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let heard = self.heard();
            let last = &heard[heard.len().saturating_sub(8000)..];
            let [there, away] = [tone_hz, away_hz].map(|hz| tone_level_dbov(last, 8000, hz as f32));
            if last.len() == 8000 && there > -25.0 && away < away_dbov {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{tone_hz} Hz at {there} dBov, {away_hz} Hz at {away} dBov\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The level of a tone in the last second of what it heard, in dBov.
    pub fn level_of(&self, tone_hz: u32) -> f32 {
        let heard = self.heard();
        let last = &heard[heard.len().saturating_sub(8000)..];
        if last.len() < 8000 { -127.0 } else { tone_level_dbov(last, 8000, tone_hz as f32) }
    }

    /// Everything it heard in its last call, brought to 8 kHz.
    pub fn heard(&self) -> Vec<i16> {
        let files = std::fs::read_dir(self.folder.path().join("heard")).unwrap();
        let newest = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("-dec"))
            .max();
        // The header is only finished when the call ends: the samples are read behind its 44 bytes.
        newest.map_or_else(Vec::new, |path| samples(&path))
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join("log")).unwrap()).into_owned()
    }

    /// The control port speaks JSON in netstrings.
    fn command(&self, command: &str, params: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut control = loop {
            match TcpStream::connect(("127.0.0.1", self.control)) {
                Ok(control) => break control,
                Err(error) => assert!(Instant::now() < deadline, "no control port: {error}\n{}", self.log()),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let request = format!(r#"{{"command":"{command}","params":"{params}","token":"t"}}"#);
        control.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(control, "{}:{request},", request.len()).unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains(r#""response":true"#) {
            let read = control.read(&mut buffer).expect("baresip answers a command");
            assert!(read > 0, "baresip closed its control port\n{}", self.log());
            answer.extend_from_slice(&buffer[..read]);
        }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first channel of a recording, brought to 8 kHz by averages.
fn samples(path: &PathBuf) -> Vec<i16> {
    let bytes = std::fs::read(path).unwrap();
    let Some((head, sound)) = bytes.split_at_checked(44) else { return Vec::new() };
    let channels = usize::from(u16::from_le_bytes([head[22], head[23]])).max(1);
    let rate_hz = u32::from_le_bytes([head[24], head[25], head[26], head[27]]);
    let first = sound.chunks_exact(2 * channels).map(|frame| i16::from_le_bytes([frame[0], frame[1]]));
    let (first, group) = (first.collect::<Vec<_>>(), (rate_hz / 8000).max(1) as usize);
    first
        .chunks_exact(group)
        .map(|group| (group.iter().map(|s| i32::from(*s)).sum::<i32>() / group.len() as i32) as i16)
        .collect()
}

fn write_voice(path: &Path, tone_hz: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for at in 0..8000 * 120 {
        let angle = std::f64::consts::TAU * f64::from(tone_hz) / 8000.0 * f64::from(at);
        writer.write_sample((8000.0 * angle.sin()) as i16).unwrap();
    }
    writer.finalize().unwrap();
}

fn account(setup: &Setup<'_>) -> String {
    let Setup { number, password, transport, server, codec, .. } = setup;
    let host = server.rsplit_once(':').map_or(*server, |(host, _)| host);
    let encryption = match setup.encryption {
        "" => String::new(),
        kind => format!(";mediaenc={kind}"),
    };
    let codecs: Vec<&str> = codec
        .split(',')
        .map(|codec| match codec {
            "PCMU" => "PCMU/8000/1",
            "PCMA" => "PCMA/8000/1",
            "GSM" => "GSM/8000/1",
            "G722" => "G722/16000/1",
            "opus" => "opus/48000/2",
            other => panic!("no codec {other}"),
        })
        .collect();
    let codecs = codecs.join(",");
    format!(
        "<sip:{number}@{host};transport={transport}>;auth_user={number};auth_pass={password};\
         outbound=\"sip:{server};transport={transport}\";regint=60;answermode=auto;audio_codecs={codecs}{encryption}\n"
    )
}

fn config(folder: &Path, sip_port: u16, control: u16, rtp: u16) -> String {
    let folder = folder.display();
    format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{sip_port}\nnet_interface 127.0.0.1\n\
         audio_source aufile,{folder}/voice.wav\naudio_player aubridge,null\naudio_alert aubridge,alert\n\
         ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\naudio_txmode thread\n\
         rtp_ports {rtp}-{}\nsnd_path {folder}/heard\nctrl_tcp_listen 127.0.0.1:{control}\n\
         module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule g722.so\nmodule gsm.so\nmodule opus.so\nmodule srtp.so\n\
         module aufile.so\nmodule aubridge.so\n\
         module sndfile.so\nmodule_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n",
        rtp + 18
    )
}

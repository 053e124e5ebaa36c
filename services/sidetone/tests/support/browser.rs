//! A real browser as a telephone: Debian's Chromium without a window, with the page `browser_phone.html`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One browser with the page open. It is ended when dropped.
pub struct Browser {
    child: Child,
    lines: Lines,
    /// Everything that Chromium prints, for when something is missing.
    log: Lines,
    _folder: tempfile::TempDir,
}

type Lines = Arc<Mutex<Vec<String>>>;

/// What the page is to do.
pub struct Page<'a> {
    /// Where it finds the WebSocket.
    pub door: SocketAddr,
    pub number: &'a str,
    /// Its voice.
    pub tone_hz: u32,
    /// What it calls; without, it answers the first call.
    pub calls: Option<&'a str>,
    /// It hangs up when it has heard one of the tones in so many half seconds; without, never.
    pub enough: Option<u32>,
}

/// Tones that the page listens for.
const TONES: &str = "440,700,1150";

/// Whether the package is there.
pub fn is_installed() -> bool {
    Command::new("chromium").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

impl Browser {
    /// Opens the page; it registers.
    pub fn open(page: &Page<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let voice = folder.path().join("voice.wav");
        write_voice(&voice, page.tone_hz);
        let mut child = Command::new("chromium")
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg(format!("--use-file-for-fake-audio-capture={}", voice.display()))
            .arg(address(page))
            .env("HOME", folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("chromium is installed");
        let (lines, log) = (Lines::default(), Lines::default());
        let (output, kept, all) = (child.stderr.take().unwrap(), Arc::clone(&lines), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let said = line.split_once("\"PHONE ").and_then(|(_, said)| said.split_once("\", source:"));
                if let Some((said, _)) = said {
                    kept.lock().unwrap().push(said.to_owned());
                }
                all.lock().unwrap().push(line);
            }
        });
        Self { child, lines, log, _folder: folder }
    }

    /// Waits until the page says something that begins so.
    pub fn wait_for(&self, start: &str) {
        self.wait_until(start, |line| line.starts_with(start));
    }

    /// Waits until one tone is heard, at the level of one voice, and another is not at the same time.
    pub fn wait_until_it_hears_but(&self, tone_hz: u32, away_hz: u32) {
        let is_right = |line: &str| {
            let [there, away] = [tone_hz, away_hz].map(|hz| level(line, hz));
            there.is_some_and(|level| level > -25) && away.is_some_and(|level| level < -40)
        };
        self.wait_until(&format!("{tone_hz} Hz without {away_hz} Hz"), is_right);
    }

    /// Forgets what the page has said so far.
    pub fn forget(&self) {
        self.lines.lock().unwrap().clear();
    }

    fn wait_until(&self, what: &str, fits: impl Fn(&str) -> bool) {
        // A browser takes seconds to start on a busy machine.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.lines.lock().unwrap().iter().any(|line| fits(line)) {
            let failed = self.lines.lock().unwrap().iter().any(|line| line.starts_with("FAILED"));
            assert!(
                !failed && Instant::now() < deadline,
                "no {what}; the page said {:?}\n{}",
                self.lines.lock().unwrap(),
                self.log.lock().unwrap().join("\n")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It has children of its own, all of its process group.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.wait();
    }
}

/// The level of a tone in a line of what the page hears, in dB below full scale.
fn level(line: &str, tone_hz: u32) -> Option<i32> {
    let of_tone = format!("{tone_hz}:");
    line.strip_prefix("HEARD ")?.split(' ').find_map(|word| word.strip_prefix(&of_tone))?.parse().ok()
}

fn address(page: &Page<'_>) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/browser_phone.html");
    let Page { door, number, .. } = page;
    let mut address = format!(
        "file://{}#door=ws://{door}/&domain={}&user={number}&password=secret-{number}&tones={TONES}",
        file.display(),
        door.ip()
    );
    if let Some(calls) = page.calls {
        address += &format!("&number={calls}");
    }
    if let Some(enough) = page.enough {
        address += &format!("&enough={enough}");
    }
    address
}

/// A tone for as long as Chromium takes before it plays the file again.
fn write_voice(path: &Path, tone_hz: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for at in 0..48_000 * 20 {
        let angle = std::f64::consts::TAU * f64::from(tone_hz) / 48_000.0 * f64::from(at);
        writer.write_sample((8_000.0 * angle.sin()) as i16).unwrap();
    }
    writer.finalize().unwrap();
}

/// No window, no sandbox (CI is root), nothing that it would ask of the network by itself, a microphone that is a file, and what
/// a page says goes to standard error. It leaves the loopback out of its candidates unless it is told otherwise.
const ARGUMENTS: [&str; 15] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

//! A telephone that is a browser in all but its page: aiortc as a child process, see `webrtc_phone.py`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One phone. It is ended when dropped.
pub struct WebPhone {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    errors: PathBuf,
    _folder: tempfile::TempDir,
}

/// A Python that has aiortc: the one of `.ci/run`, or the machine's.
pub fn python() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map_or_else(PathBuf::new, PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    let own = cache.join("sidetone-ci/aiortc/bin/python");
    [own, PathBuf::from("python3")].into_iter().find(|python| {
        let tried =
            Command::new(python).args(["-c", "import aiortc, websockets"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    })
}

impl WebPhone {
    /// Registers over a WebSocket; calls `number`, or answers the first call.
    pub fn start(python: &Path, door: SocketAddr, user: &str, tone_hz: u32, number: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let errors = folder.path().join("errors");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/webrtc_phone.py");
        let mut child = Command::new(python)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(script)
            .arg(format!("ws://{door}/"))
            .args([&door.ip().to_string(), user, &format!("secret-{user}"), &tone_hz.to_string()])
            .args(number)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (output, kept) = (child.stdout.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, lines, errors, _folder: folder }
    }

    /// Waits until it says something that begins so.
    pub fn wait_for(&self, start: &str) {
        self.wait_until(start, |line| line.starts_with(start));
    }

    /// Waits until it hears a tone, at the level of one voice.
    pub fn wait_until_it_hears(&self, tone_hz: u32) {
        self.wait_until(&format!("a tone of {tone_hz} Hz"), |line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [kind, hz, level] = words[..] else { return false };
            kind == "HEARD"
                && hz == tone_hz.to_string()
                && level.parse::<i32>().is_ok_and(|level| level > -25)
        });
    }

    fn wait_until(&self, what: &str, fits: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(40);
        while !self.lines.lock().unwrap().iter().any(|line| fits(line)) {
            assert!(
                Instant::now() < deadline,
                "no {what}; it said {:?}\n{}",
                self.lines.lock().unwrap(),
                std::fs::read_to_string(&self.errors).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Forgets what it has said so far.
    pub fn forget(&self) {
        self.lines.lock().unwrap().clear();
    }

    /// Hangs up.
    pub fn hang_up(&mut self) {
        drop(self.child.stdin.take());
    }
}

impl Drop for WebPhone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

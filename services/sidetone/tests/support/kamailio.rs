//! kamailio as a carrier, and sipp as whoever is behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Whether both programs are there.
pub fn are_installed() -> bool {
    let runs = |program: &str, argument: &str| {
        Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    runs(KAMAILIO, "-v") && runs("sipp", "-v")
}

/// A carrier: subscribers register with a digest; what comes from `inside` goes to `outside`, and what comes from elsewhere to
/// `inside`. It answers OPTIONS, and stays in the way of what it passes on.
pub struct Kamailio {
    child: Child,
    folder: tempfile::TempDir,
    pub address: SocketAddr,
}

impl Kamailio {
    /// Starts it and waits until it answers.
    pub fn start(address: SocketAddr, inside: SocketAddr, outside: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("kamailio.cfg");
        let text = CONFIG
            .replace("@ADDRESS@", &address.to_string())
            .replace("@INSIDE_IP@", &inside.ip().to_string())
            .replace("@INSIDE@", &inside.to_string())
            .replace("@OUTSIDE@", &outside.to_string())
            .replace("@FOLDER@", &folder.path().display().to_string());
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(KAMAILIO)
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-f"])
            .arg(&config)
            .arg("-Y")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let new = Self { child, folder, address };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !new.answers() {
            assert!(Instant::now() < deadline, "kamailio does not answer\n{}", new.log());
        }
        new
    }

    fn answers(&self) -> bool {
        let socket = std::net::UdpSocket::bind((self.address.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let own = socket.local_addr().unwrap();
        let options = format!(
            "OPTIONS sip:{0} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKup\r\nFrom: <sip:up@{own}>;tag=1\r\n\
             To: <sip:{0}>\r\nCall-ID: up\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n",
            self.address
        );
        let mut buffer = [0; 4096];
        socket.send_to(options.as_bytes(), self.address).is_ok() && socket.recv(&mut buffer).is_ok()
    }

    /// What it has logged: a line for each call it passed on.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its children end with it when it is asked; killed, it would leave them.
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        drop(self.child.wait());
    }
}

/// A sipp with one of its built-in scenarios for some calls.
pub struct Sipp(Child, PathBuf);

impl Sipp {
    /// `uas` takes calls, `uac` makes them.
    pub fn start(folder: &Path, address: SocketAddr, arguments: &[&str]) -> Self {
        let errors = folder.join(format!("sipp-{}.log", address.port()));
        let child = Command::new("sipp")
            .args(["-nostdin", "-i", &address.ip().to_string(), "-p", &address.port().to_string()])
            .args(["-timeout", "300", "-trace_err", "-error_file"])
            .arg(&errors)
            .args(arguments)
            .env("TERM", "dumb")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child, errors)
    }

    /// How it ended: 0 when every call was as its scenario says.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(310);
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "sipp does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What went wrong.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(&self.1).unwrap_or_default()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

const KAMAILIO: &str = "/usr/sbin/kamailio";

const CONFIG: &str = r#"#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
listen=udp:@ADDRESS@
listen=tcp:@ADDRESS@
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
  if (has_totag()) {
    # sipp's built-in scenarios know nothing of Record-Route: what comes without a route goes across, as the INVITE went.
    if (!loose_route()) { if ($si == "@INSIDE_IP@") { $du = "sip:@OUTSIDE@"; } else { $du = "sip:@INSIDE@"; } }
    t_relay();
    exit;
  }
  if (is_method("CANCEL")) { t_relay(); exit; }
  if (is_method("REGISTER")) {
    if (!pv_auth_check("carrier.test", "carrier-secret", "0", "1")) { auth_challenge("carrier.test", "1"); exit; }
    xlog("L_WARN", "registered $au\n");
    save("location");
    exit;
  }
  record_route();
  if ($si == "@INSIDE_IP@") {
    xlog("L_WARN", "outward $rU from $fU\n");
    $du = "sip:@OUTSIDE@";
  } else {
    xlog("L_WARN", "inward $rU\n");
    $du = "sip:@INSIDE@";
  }
  t_relay();
}
"#;

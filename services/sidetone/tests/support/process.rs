//! Sidetone as child processes: one, or the four apart.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// The tenant of the tests: users 1001 to 1009 with the passwords `secret-1001` and so on, an echo number that is open, an
/// announcement, a room, a recorded room, and a number that waits.
pub fn seed() -> String {
    let mut text =
        String::from("[[seed.tenants]]\ntenant = \"acme\"\ndomains = [\"127.0.0.1\", \"acme.example\"]\n");
    for n in 1001..=1009 {
        text.push_str(&format!(
            "[[seed.tenants.users]]\nuser = \"user{n}\"\nnumbers = [\"{n}\"]\n\
             devices = [{{ device = \"desk{n}\", auth_username = \"{n}\", password = \"secret-{n}\" }}]\n"
        ));
    }
    text.push_str(
        "[[seed.tenants.rooms]]\nroom = \"lobby\"\n[[seed.tenants.rooms]]\nroom = \"taped\"\nrecord = true\n\
         [[seed.tenants.numbers]]\nnumber = \"9196\"\necho = true\nopen = true\n\
         [[seed.tenants.numbers]]\nnumber = \"9197\"\nannouncement = \"welcome\"\n\
         [[seed.tenants.numbers]]\nnumber = \"9198\"\nwait = true\n\
         [[seed.tenants.numbers]]\nnumber = \"3000\"\nroom = \"lobby\"\n\
         [[seed.tenants.numbers]]\nnumber = \"3001\"\nroom = \"taped\"\n",
    );
    text
}

/// One process. It is killed when dropped.
pub struct Process {
    child: Option<Child>,
    role: &'static str,
    config: PathBuf,
    admin: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// Starts a process with a configuration, and waits until it is ready.
    pub fn start(role: &'static str, folder: &Path, admin: SocketAddr, config: &str) -> Self {
        let path = folder.join(format!("{role}.toml"));
        std::fs::write(&path, format!("[admin]\nbind = \"{admin}\"\n{config}")).unwrap();
        let log = folder.join(format!("{role}.log"));
        let mut process = Self { child: None, role, config: path, admin, log };
        process.restart();
        process.wait_until_ready();
        process
    }

    /// Starts it, or starts it again after [`Process::kill`]; does not wait.
    pub fn restart(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_sidetone"))
            .arg(self.role)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// SIGKILL: as if the power went.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
    }

    /// Returns how it ended; panics when that takes longer than `within`.
    pub fn wait(&mut self, within: Duration) -> std::process::ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} did not end in {within:?}\n{}", self.role, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `/readyz` says so.
    pub fn wait_until_ready(&self) {
        self.wait_for_readiness(200, Duration::from_secs(30));
    }

    /// Waits until `/readyz` answers with a status.
    pub fn wait_for_readiness(&self, status: u16, within: Duration) {
        let deadline = Instant::now() + within;
        while self.get("/readyz").map(|(found, _)| found) != Some(status) {
            assert!(Instant::now() < deadline, "{} is not {status}\n{}", self.role, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// One metric's value, added up over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let answer = (0..3).find_map(|_| self.get("/metrics"));
        let (_, text) = answer.expect("the admin port answers");
        text.lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Where its metrics are.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(3)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Some((status, body.to_owned()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What an installation of four processes has beside the usual.
#[derive(Default)]
pub struct More<'a> {
    /// Lines of its `[media]`.
    pub media: &'a str,
    /// Lines of its `[call_control]`.
    pub call_control: &'a str,
    /// More in the tests' tenant, or more tenants.
    pub seed: &'a str,
    /// Sections of signalling.
    pub signalling: &'a str,
}

/// A whole installation in a folder of its own.
pub struct Installation {
    pub folder: tempfile::TempDir,
    /// Where phones reach it.
    pub sip: SocketAddr,
    /// Call control's gRPC address.
    pub grpc: SocketAddr,
    /// The HTTP door.
    pub http: SocketAddr,
    pub serve: Option<Process>,
    pub signalling: Option<Process>,
    pub call_control: Option<Process>,
    pub media: Option<Process>,
    /// A second media node, once there is one.
    pub media_2: Option<Process>,
    pub push: Option<Process>,
}

impl Installation {
    /// All four in one process.
    pub fn one_process() -> Self {
        Self::one_process_with("", "", "")
    }

    /// The same with more in its `[media]` section.
    pub fn with_media(more: &str) -> Self {
        Self::one_process_with(more, "", "")
    }

    /// The same with more tenants.
    pub fn with_seed(more: &str) -> Self {
        Self::one_process_with("", more, "")
    }

    /// The same with a `[call_control]` section.
    pub fn with_call_control(section: &str) -> Self {
        Self::one_process_with("", "", &format!("[call_control]\n{section}\n"))
    }

    /// One process with more sections, more in its `[media]`, and more in the tests' tenant or more tenants.
    pub fn one_process_with(more_media: &str, more_seed: &str, sections: &str) -> Self {
        let mut new = Self::empty();
        let (sip, grpc) = (new.sip, new.grpc);
        let folder = new.folder.path().to_owned();
        let config = format!(
            "[grpc]\nbind = \"{grpc}\"\n[http]\nbind = \"{http}\"\n[store]\npath = \"{store}\"\n{signalling}{media}{sections}{seed}",
            http = new.http,
            store = folder.join("store").display(),
            signalling = signalling_section(sip),
            media = media_section(&folder, more_media),
            seed = seed() + more_seed,
        );
        new.serve = Some(Process::start("serve", &folder, free_address(), &config));
        new
    }

    /// Apart, call control is ready before it has found a media node; a call in between is asked to come later (503).
    fn wait_for_media(&self) {
        self.wait_until("a media node is found", || {
            let nodes = self.json(&["nodes"]);
            nodes.as_array().unwrap().iter().any(|node| node["kind"] == "media" && node["state"] == "ready")
        });
    }

    /// The four apart, over gRPC.
    pub fn four_processes() -> Self {
        Self::four_processes_with("")
    }

    /// The same with more in its `[media]` section.
    pub fn four_processes_with(more_media: &str) -> Self {
        Self::four_processes_of(&More { media: more_media, ..More::default() })
    }

    /// The same with more in any of its parts.
    pub fn four_processes_of(more: &More<'_>) -> Self {
        let mut new = Self::empty();
        let (sip, grpc) = (new.sip, new.grpc);
        let folder = new.folder.path().to_owned();
        let push_grpc = free_address();
        let control = format!(
            "[grpc]\nbind = \"{grpc}\"\n[http]\nbind = \"{}\"\n[store]\npath = \"{}\"\n[call_control]\nmedia_wait_s = 0\n{}\n[peers]\npush = \"{push_grpc}\"\n{}{}",
            new.http,
            folder.join("store").display(),
            more.call_control,
            seed(),
            more.seed,
        );
        let peers = format!("[store]\nkind = \"remote\"\n[peers]\ncall_control = \"{grpc}\"\n");
        let own = |address: SocketAddr| format!("[grpc]\nbind = \"{address}\"\n");
        let media = format!("{}{peers}{}", own(free_address()), media_section(&folder, more.media));
        let signalling =
            format!("{}{peers}{}{}", own(free_address()), signalling_section(sip), more.signalling);
        let push = format!("{}{peers}", own(push_grpc));
        new.call_control = Some(Process::start("call-control", &folder, free_address(), &control));
        new.push = Some(Process::start("push", &folder, free_address(), &push));
        new.media = Some(Process::start("media", &folder, free_address(), &media));
        new.signalling = Some(Process::start("signalling", &folder, free_address(), &signalling));
        new.wait_for_media();
        new
    }

    /// A second media node beside the first of four processes.
    pub fn add_media_node(&mut self) {
        let folder = self.folder.path().join("second");
        std::fs::create_dir(&folder).unwrap();
        let grpc = self.grpc;
        let config = format!(
            "[grpc]\nbind = \"{}\"\n[store]\nkind = \"remote\"\n[peers]\ncall_control = \"{grpc}\"\n{}",
            free_address(),
            media_section(&folder, "").replace("media-1", "media-2"),
        );
        self.media_2 = Some(Process::start("media", &folder, free_address(), &config));
        self.wait_until("the second media node is found", || {
            let nodes = self.json(&["nodes"]);
            let ready = |node: &&serde_json::Value| node["kind"] == "media" && node["state"] == "ready";
            nodes.as_array().unwrap().iter().filter(ready).count() == 2
        });
    }

    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            sip: free_address(),
            grpc: free_address(),
            http: free_address(),
            serve: None,
            signalling: None,
            call_control: None,
            media: None,
            media_2: None,
            push: None,
        }
    }

    /// Runs a client command of the same program for the tests' tenant and returns what it printed.
    pub fn command(&self, arguments: &[&str]) -> Result<String, String> {
        self.command_as(&[arguments, &["--tenant", "acme"]].concat())
    }

    /// The same for whatever tenant the arguments name.
    pub fn command_as(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(env!("CARGO_BIN_EXE_sidetone"))
            .args(arguments)
            .args(["--server", &self.grpc.to_string()])
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// A client command that reads its standard input.
    pub fn command_with_input(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sidetone"))
            .args(arguments)
            .args(["--server", &self.grpc.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// The same, read as JSON.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--output", "json"]);
        // It only reads: when the machine is too busy for an answer in time, it asks again.
        let mut asked = self.command(&arguments);
        for _ in 0..2 {
            let Err(error) = &asked else { break };
            if !error.contains("no answer") && !error.contains("Is it running") {
                break;
            }
            asked = self.command(&arguments);
        }
        let text = asked.unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}", self.logs()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {text}"))
    }

    /// Waits until a condition holds; tells the logs when it does not.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < deadline, "never: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ids of the live calls.
    pub fn calls(&self) -> Vec<String> {
        let calls = self.json(&["calls"]);
        let ids = calls.as_array().unwrap().iter().map(|call| call["call_id"].as_str().unwrap().to_owned());
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        ids
    }

    /// What every process has logged.
    pub fn logs(&self) -> String {
        [&self.serve, &self.signalling, &self.call_control, &self.media, &self.media_2, &self.push]
            .into_iter()
            .flatten()
            .map(|process| format!("--- {}\n{}", process.role, process.log()))
            .collect()
    }
}

fn signalling_section(sip: SocketAddr) -> String {
    format!(
        "[signalling]\nreplica_id = \"sip-1\"\ndigest_algorithms = [\"MD5\"]\n[[signalling.listeners]]\ntransport = \"udp\"\nbind = \"{sip}\"\n\
         [[signalling.listeners]]\ntransport = \"tcp\"\nbind = \"{sip}\"\n"
    )
}

fn media_section(folder: &Path, more: &str) -> String {
    format!(
        "[media]\nnode_id = \"media-1\"\npin_workers = false\nworkers = 1\nrecordings_dir = \"{}\"\n{more}[[media.realms]]\nport_min = 0\n",
        folder.join("recordings").display()
    )
}

/// A listener for TLS, with a certificate in that folder: its section of the configuration, and its address.
pub fn tls_listener(folder: &Path) -> (String, String) {
    let address = free_address().to_string();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (folder.join("sip.crt"), folder.join("sip.key"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let section = format!(
        "[[signalling.listeners]]\ntransport = \"tls\"\nbind = \"{address}\"\n\
         [[signalling.tls.certificates]]\ncert = \"{}\"\nkey = \"{}\"\n",
        cert.display(),
        key.display()
    );
    (section, address)
}

/// A free port on loopback, for UDP and TCP.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// The first of so many ports in a row that are free for UDP and TCP.
///
/// They lie below the range from which the system gives ports to whoever asks for any: nobody takes them in between.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_240;
    const SPAN: u16 = 20_000;
    let own = (std::process::id() % u32::from(SPAN)) as u16;
    loop {
        let place = NEXT.fetch_add(count, Ordering::Relaxed);
        let first = FIRST + ((u32::from(own) + u32::from(place)) % u32::from(SPAN)) as u16;
        let free = |port: u16| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
        };
        if (first..first + count).all(free) {
            return first;
        }
    }
}

/// An address of loopback that nobody has.
pub fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

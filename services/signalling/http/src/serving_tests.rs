use std::io::ErrorKind;

use axum::Extension;
use axum::extract::WebSocketUpgrade;
use axum::response::Response;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A door that says who asks.
async fn door(config: &Config) -> (SocketAddr, Arc<Telemetry>, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, telemetry) = (listener.local_addr().unwrap(), Telemetry::new().unwrap());
    let who = get(|Extension(Source(source)): Extension<Source>| async move { source.to_string() });
    let serving = Serving {
        router: Router::new().route("/who", who).route("/socket", get(upgrade)),
        bounds: Bounds::of(config),
        telemetry: Arc::clone(&telemetry),
        stopping: CancellationToken::new(),
    };
    let stopping = serving.stopping.clone();
    tokio::spawn(serving.run(listener));
    (address, telemetry, stopping)
}

/// A WebSocket that listens until it is left, and keeps the place of its connection.
async fn upgrade(place: Extension<Arc<Place>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |mut socket| async move {
        while let Some(Ok(_)) = socket.recv().await {}
        drop(place);
    })
}

/// Everything until the far end closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    match read.expect("it is closed in time") {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    String::from_utf8(all).unwrap()
}

async fn ask(address: SocketAddr, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /who HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    answer.rsplit_once("\r\n\r\n").map_or(answer.clone(), |(_, body)| body.to_owned())
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn who_says_nothing_or_not_enough_is_sent_away() {
    let config = Config { head_timeout_s: 1, ..Config::default() };
    let (address, telemetry, stopping) = door(&config).await;
    // The second begins like HTTP/2, the third is by HTTP/1 and never ends.
    for begun in ["", "PRI * HT", "GET /who HTTP/1.1\r\nhost: t\r\nx-slow: "] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        rest(&mut stream).await;
    }
    until("their places are free", || telemetry.http.connections.get() == 0).await;
    // On a busy machine this one may be slow, too.
    let mut answer = ask(address, "").await;
    for _ in 0..20 {
        if answer == "127.0.0.1" {
            break;
        }
        answer = ask(address, "").await;
    }
    assert_eq!(answer, "127.0.0.1");
    stopping.cancel();
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let config = Config { connections_per_source_max: 2, ..Config::default() };
    let (address, telemetry, stopping) = door(&config).await;
    let first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    until("both are there", || telemetry.http.connections.get() == 2).await;
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(&mut third).await, "");
    let limited = telemetry.http.limited.with_label_values(&["connections_of_source"]);
    assert_eq!(limited.get(), 1);
    drop(first);
    until("a place is free", || telemetry.http.connections.get() == 1).await;
    assert_eq!(ask(address, "").await, "127.0.0.1");
    stopping.cancel();
}

#[tokio::test]
async fn only_a_proxy_of_ours_says_for_whom_it_asks() {
    let forwarded = "x-forwarded-for: 203.0.113.9, 198.51.100.7\r\n";
    let (address, _, stopping) = door(&Config::default()).await;
    assert_eq!(ask(address, forwarded).await, "127.0.0.1");
    stopping.cancel();
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let (address, _, stopping) = door(&Config { proxies: proxies.clone(), ..Config::default() }).await;
    assert_eq!(ask(address, forwarded).await, "198.51.100.7", "what the proxy itself has seen");
    assert_eq!(ask(address, "x-forwarded-for: 203.0.113.9, nonsense\r\n").await, "127.0.0.1");
    assert_eq!(ask(address, "x-forwarded-for: 203.0.113.9, 127.0.0.2\r\n").await, "203.0.113.9");
    stopping.cancel();
}

#[tokio::test]
async fn a_websocket_counts_as_a_connection_until_it_ends() {
    let config = Config { connections_per_source_max: 1, ..Config::default() };
    let (address, telemetry, stopping) = door(&config).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = "GET /socket HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, socket.read_u8()).await;
        head.push(byte.expect("it answers in time").unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    // A ping with nothing in it, masked (RFC 6455, section 5.2), and its pong: the server is done with HTTP here.
    socket.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
    let mut pong = [0; 2];
    tokio::time::timeout(PATIENCE, socket.read_exact(&mut pong)).await.expect("a pong in time").unwrap();
    assert_eq!(pong, [0x8A, 0]);
    assert_eq!(telemetry.http.connections.get(), 1);
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(&mut second).await, "", "the address has its one connection");
    drop(socket);
    until("its place is free", || telemetry.http.connections.get() == 0).await;
    assert_eq!(ask(address, "").await, "127.0.0.1");
    stopping.cancel();
}

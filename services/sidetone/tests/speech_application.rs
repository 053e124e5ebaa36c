//! An application of speech takes part in a call over a WebSocket: it hears the phones, they hear it, and it can be interrupted.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use support::clients::{Bot, LOOPBACK, applications};
use support::phones::{call, eventually, hears, registered};
use support::process::Installation;
use support::receiver::Receiver;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

type Socket = WebSocketStream<TcpStream>;

/// Opens what a URL of HTTP names as a WebSocket.
async fn open(url: &str) -> Result<Socket, Error> {
    let rest = url.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(rest.split('/').next().unwrap()).await.unwrap();
    Ok(tokio_tungstenite::client_async(format!("ws://{rest}"), stream).await?.0)
}

async fn start_of(socket: &mut Socket) -> Value {
    serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap()
}

/// So much of what the application hears, in linear samples.
async fn listen(socket: &mut Socket, samples: usize) -> Vec<i16> {
    let mut heard = Vec::new();
    while heard.len() < samples {
        if let Message::Binary(piece) = socket.next().await.unwrap().unwrap() {
            heard.extend(piece.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)));
        }
    }
    heard
}

/// How much of the power of a sound is at one frequency, by correlation.
fn share(samples: &[i16], hz: f32) -> f32 {
    let step = std::f32::consts::TAU * hz / 8_000.0;
    let (mut sine, mut cosine, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (at, sample) = (step * n as f32, f32::from(*sample));
        sine += sample * at.sin();
        cosine += sample * at.cos();
        power += sample * sample;
    }
    2.0 * (sine * sine + cosine * cosine) / (power * samples.len() as f32)
}

fn tone(hz: f32, seconds: usize) -> Vec<u8> {
    let step = std::f32::consts::TAU * hz / 8_000.0;
    let sample = |n: usize| (8_000.0 * (step * n as f32).sin()) as i16;
    (0..seconds * 8_000).flat_map(|n| sample(n).to_le_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_hears_the_phones_is_heard_and_can_be_interrupted() {
    let team = Receiver::start().await;
    let seed = applications(&team.events_url(), &team.events_url());
    let installation = Installation::one_process_with("", &seed, LOOPBACK);
    let a = registered(&installation, "1001", 440.0).await;
    let _b = registered(&installation, "1002", 700.0).await;
    let bot = Bot::new(&installation);
    let at_a = call(&installation, &a, "1002").await;
    hears(&installation, &at_a, 700.0).await;
    eventually(&installation, "the team is told of the call", || !team.column("threadId").is_empty()).await;
    let thread = team.column("threadId").remove(0);

    let (status, refused) =
        bot.ask("call.stream/start", json!({ "threadId": thread, "format": "g729" })).await;
    assert_eq!(status, 400, "{refused}");
    let asked = json!({ "threadId": thread, "format": "l16" });
    let url = bot.done("call.stream/start", asked).await["streamUrl"].as_str().unwrap().to_owned();
    let mut socket = open(&url).await.unwrap();
    let start =
        json!({ "event": "start", "encoding": "L16", "rate_hz": 8000, "channels": 1, "piece_ms": 20 });
    assert_eq!(start_of(&mut socket).await, start);
    let heard = listen(&mut socket, 16_000).await;
    for hz in [440.0, 700.0] {
        assert!(share(&heard[8_000..], hz) > 0.1, "{hz} Hz\n{}", installation.logs());
    }

    // Ten seconds at once, of which it thinks better after one.
    let (mut say, mut hear) = socket.split();
    let listening = tokio::spawn(async move {
        while let Some(Ok(message)) = hear.next().await {
            if let Message::Close(close) = message {
                return close.map(|close| close.reason.to_string());
            }
        }
        None
    });
    for piece in tone(1_300.0, 10).chunks(16_000) {
        say.send(Message::Binary(piece.to_vec().into())).await.unwrap();
    }
    hears(&installation, &at_a, 1_300.0).await;
    say.send(Message::text(json!({ "event": "clear" }).to_string())).await.unwrap();
    eventually(&installation, "it is silent", || !at_a.ear().hears(1_300.0)).await;
    hears(&installation, &at_a, 700.0).await;
    for piece in tone(1_700.0, 5).chunks(16_000) {
        say.send(Message::Binary(piece.to_vec().into())).await.unwrap();
    }
    hears(&installation, &at_a, 1_700.0).await;

    // What makes no sense is answered with what would.
    say.send(Message::text("{}")).await.unwrap();
    let reason = listening.await.unwrap();
    assert_eq!(reason.as_deref(), Some("expected binary sound, or {\"event\":\"clear\"}"));
    let mut again = open(&url).await.unwrap();
    start_of(&mut again).await;
    at_a.hang_up().await.unwrap();
    let closed = loop {
        match again.next().await.unwrap().unwrap() {
            Message::Close(close) => break close.unwrap(),
            _ => continue,
        }
    };
    assert_eq!(&*closed.reason, "the stream has ended");
    let Err(Error::Http(response)) = open(&url).await else { panic!("the stream is gone") };
    assert_eq!(response.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_for_players_is_no_websocket() {
    let team = Receiver::start().await;
    let seed = applications(&team.events_url(), &team.events_url());
    let installation = Installation::one_process_with("", &seed, LOOPBACK);
    let a = registered(&installation, "1001", 440.0).await;
    let _b = registered(&installation, "1002", 700.0).await;
    let bot = Bot::new(&installation);
    let _at_a = call(&installation, &a, "1002").await;
    eventually(&installation, "the team is told of the call", || !team.column("threadId").is_empty()).await;
    let asked = json!({ "threadId": team.column("threadId").remove(0) });
    let url = bot.done("call.stream/start", asked).await["streamUrl"].as_str().unwrap().to_owned();
    let Err(Error::Http(response)) = open(&url).await else { panic!("a WAV is no WebSocket") };
    assert_eq!(response.status(), 400);
}

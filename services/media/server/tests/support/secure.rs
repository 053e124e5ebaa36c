//! A telephone that speaks and hears SRTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_dsp::{Law, g711};
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1 as types;
use sidetone_rtp_core::srtp::{MasterKey, OVERHEAD_MAX, Receiver, Sender, Suite};
use tokio::net::UdpSocket;
use tonic::Request;

use super::*;

pub const SSRC: u32 = 0x5151;

/// A telephone that speaks and hears SRTP.
pub struct SecurePhone {
    pub leg: String,
    pub socket: Arc<UdpSocket>,
    pub node: std::net::SocketAddr,
    pub sender: Sender,
    pub tone: ToneGenerator,
    pub sequence: u16,
    pub heard: Arc<Mutex<Vec<i16>>>,
}

pub fn crypto(tag: u32, suite: Suite, key: &[u8]) -> types::Crypto {
    types::Crypto { tag, suite: suite.name().into(), inline: BASE64.encode(key), parameters: String::new() }
}

pub fn key_of(suite: Suite, seed: u8) -> Vec<u8> {
    (0..suite.key_len() + suite.salt_len()).map(|n| n as u8 ^ seed).collect()
}

pub fn master(suite: Suite, key: &[u8]) -> MasterKey {
    MasterKey::new(suite, key).unwrap()
}

/// An SRTP packet of 20 ms.
pub fn sealed(sender: &mut Sender, sequence: u16, ssrc: u32, sound: &[u8]) -> Vec<u8> {
    let mut bytes = packet(0, sequence, u32::from(sequence) * 160, ssrc, sound);
    let length = bytes.len();
    bytes.resize(length + OVERHEAD_MAX, 0);
    let length = sender.protect_rtp(&mut bytes, length).unwrap();
    bytes.truncate(length);
    bytes
}

impl SecurePhone {
    pub async fn call(node: &TestNode, n: u32, suite: Suite, hz: f32) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let mine = key_of(suite, n as u8);
        let offer = types::MediaDescription {
            secured: true,
            crypto: vec![crypto(7, suite, &mine)],
            ..description(socket.local_addr().unwrap(), &[(0, "PCMU"), (101, "telephone-event")], 20)
        };
        let answer = node.media.create_leg(Request::new(create(n, Some(offer)))).await.unwrap().into_inner();
        let local = answer.local.unwrap();
        assert!(local.secured && local.crypto.len() == 1 && local.crypto[0].tag == 7);
        assert_eq!(local.crypto[0].suite, suite.name());
        assert!(!format!("{local:?}").contains(&local.crypto[0].inline), "a key is shown");
        let theirs = BASE64.decode(&local.crypto[0].inline).unwrap();
        assert_ne!(theirs, mine);
        let phone = Self {
            leg: uuid(n),
            node: address(&local),
            sender: Sender::new(&master(suite, &mine)).unwrap(),
            tone: ToneGenerator::new(8000, &[Tone { freq_hz: hz, level_dbm0: -10.0 }]),
            sequence: 1,
            heard: Arc::default(),
            socket,
        };
        phone.listen(Receiver::new(&master(suite, &theirs)).unwrap());
        phone
    }

    fn listen(&self, mut receiver: Receiver) {
        let (socket, heard) = (Arc::clone(&self.socket), Arc::clone(&self.heard));
        tokio::spawn(async move {
            let mut buffer = [0; 2000];
            while let Ok((length, _)) = socket.recv_from(&mut buffer).await {
                let length =
                    receiver.open_rtp(&mut buffer[..length]).expect("what the node sends is authentic");
                let mut sound = vec![0; length - 12];
                g711::decode(Law::Mu, &buffer[12..length], &mut sound);
                heard.lock().unwrap().extend(sound);
            }
        });
    }

    /// Speaks for so many packets, in real time; the last one as it went over the wire.
    pub async fn speak(&mut self, packets: usize) -> Vec<u8> {
        let mut timer = tokio::time::interval(Duration::from_millis(20));
        let mut last = Vec::new();
        for _ in 0..packets {
            timer.tick().await;
            let (mut sound, mut coded) = ([0; 160], [0; 160]);
            self.tone.fill(&mut sound);
            g711::encode(Law::Mu, &sound, &mut coded);
            last = sealed(&mut self.sender, self.sequence, SSRC, &coded);
            self.sequence += 1;
            self.socket.send_to(&last, self.node).await.unwrap();
        }
        last
    }

    /// Speaks until something is so.
    pub async fn speak_until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "spoke in vain for {what}");
            self.speak(20).await;
        }
    }

    pub fn hears(&self, hz: f32) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.len() > 8000 && has_tone(&heard[heard.len() - 4000..], hz)
    }
}

//! A telephone as browsers are: it checks by ICE, agrees on keys by DTLS, and has everything on one port.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, Output, SrtpProfile};
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_dsp::{Law, g711};
use sidetone_ice_core::stun::{Builder, Class, Message, attribute, is_dtls, is_stun};
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1 as types;
use sidetone_rtp_core::packet::is_rtcp;
use sidetone_rtp_core::srtp::{Receiver, Sender, Suite};
use tokio::net::UdpSocket;
use tonic::Request;

use super::secure::{SSRC, master, sealed};
use super::*;

const UFRAG: &str = "them";
const PWD: &str = "phone-password-of-24-chr";

/// How a phone proves itself.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    pub ice: bool,
    pub setup: types::Setup,
}

pub struct BrowserPhone {
    pub leg: String,
    pub socket: Arc<UdpSocket>,
    pub node: SocketAddr,
    pub local: types::MediaDescription,
    pub sender: Option<Sender>,
    receiver: Option<Receiver>,
    certificate: DtlsCertificate,
    is_client: bool,
    way: Way,
    sequence: u16,
    tone: ToneGenerator,
    pub heard: Arc<Mutex<Vec<i16>>>,
}

/// A transaction that no other check of this process has.
fn transaction() -> [u8; 12] {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut id = [0; 12];
    id[..4].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    id
}

pub fn fingerprint(certificate: &[u8]) -> types::Fingerprint {
    let value = dimpl::certificate::calculate_fingerprint(certificate);
    types::Fingerprint { hash: "sha-256".into(), value }
}

/// A check of the phone, as whoever knows that password makes it.
pub fn check(local: &types::MediaDescription, pwd: &str) -> (Vec<u8>, [u8; 12]) {
    let (ice, id) = (local.ice.as_ref().unwrap(), transaction());
    let check = Builder::new(Class::Request, id)
        .attribute(attribute::USERNAME, format!("{}:{UFRAG}", ice.ufrag).as_bytes())
        .attribute(attribute::PRIORITY, &[0x6e, 0, 1, 0xff])
        .attribute(attribute::ICE_CONTROLLING, &[5; 8])
        .attribute(attribute::USE_CANDIDATE, &[]);
    (check.seal(pwd.as_bytes()), id)
}

impl BrowserPhone {
    /// What it says of itself.
    pub fn describe(socket: &UdpSocket, certificate: &DtlsCertificate, way: Way) -> types::MediaDescription {
        let formats = [(0, "PCMU"), (101, "telephone-event")];
        types::MediaDescription {
            secured: true,
            rtcp_mux: true,
            dtls: Some(types::Dtls {
                fingerprints: vec![fingerprint(&certificate.certificate)],
                setup: way.setup.into(),
            }),
            ice: way.ice.then(|| types::Ice { ufrag: UFRAG.into(), pwd: PWD.into(), lite: false }),
            ..description(socket.local_addr().unwrap(), &formats, 20)
        }
    }

    /// Calls in; nothing has gone over its port yet.
    pub async fn offer(node: &TestNode, n: u32, way: Way, hz: f32) -> Self {
        Self::offer_as(node, n, way, hz, |_| {}).await
    }

    pub async fn offer_as(
        node: &TestNode,
        n: u32,
        way: Way,
        hz: f32,
        change: impl FnOnce(&mut types::MediaDescription),
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let certificate = dimpl::certificate::generate_self_signed_certificate().unwrap();
        let mut offer = Self::describe(&socket, &certificate, way);
        change(&mut offer);
        let answer = node.media.create_leg(Request::new(create(n, Some(offer)))).await.unwrap().into_inner();
        let local = answer.local.unwrap();
        assert!(local.secured && local.crypto.is_empty() && local.ice.is_some() == way.ice, "{local:?}");
        let is_client = local.dtls.as_ref().unwrap().setup() == types::Setup::Passive;
        assert_eq!(is_client, way.setup != types::Setup::Passive);
        Self::new(uuid(n), socket, local, certificate, (way, is_client), hz)
    }

    /// Is called: our offer, its answer.
    pub async fn answer(node: &TestNode, n: u32, setup: types::Setup, hz: f32) -> Self {
        let request = pb::CreateLegRequest { browser: true, ..create(n, None) };
        let made = node.media.create_leg(Request::new(request)).await.unwrap().into_inner();
        let local = made.local.unwrap();
        assert!(local.secured && local.rtcp_mux && local.crypto.is_empty());
        assert_eq!(local.dtls.as_ref().unwrap().setup(), types::Setup::Actpass);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let certificate = dimpl::certificate::generate_self_signed_certificate().unwrap();
        let way = Way { ice: true, setup };
        let answer = Self::describe(&socket, &certificate, way);
        let request = pb::UpdateLegRequest {
            leg_id: uuid(n),
            remote: Some(answer),
            is_answer: true,
            ..Default::default()
        };
        node.media.update_leg(Request::new(request)).await.unwrap();
        Self::new(uuid(n), socket, local, certificate, (way, setup == types::Setup::Active), hz)
    }

    fn new(
        leg: String,
        socket: UdpSocket,
        local: types::MediaDescription,
        certificate: DtlsCertificate,
        (way, is_client): (Way, bool),
        hz: f32,
    ) -> Self {
        Self {
            leg,
            socket: Arc::new(socket),
            node: address(&local),
            local,
            sender: None,
            receiver: None,
            certificate,
            is_client,
            way,
            sequence: 1,
            tone: ToneGenerator::new(8000, &[Tone { freq_hz: hz, level_dbm0: -10.0 }]),
            heard: Arc::default(),
        }
    }

    /// Checks until it is answered.
    pub async fn check(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 2000];
        let (bytes, id) = check(&self.local, &self.local.ice.as_ref().unwrap().pwd);
        while Instant::now() < deadline {
            self.socket.send_to(&bytes, self.node).await.unwrap();
            let waited = tokio::time::timeout(Duration::from_millis(200), self.socket.recv_from(&mut buffer));
            let Ok(Ok((length, _))) = waited.await else { continue };
            let Ok(answer) = Message::parse(&buffer[..length]) else { continue };
            if answer.transaction() == id {
                assert_eq!(answer.class(), Class::Success);
                let password = self.local.ice.as_ref().unwrap().pwd.as_bytes();
                assert!(answer.is_authentic(password) && answer.has_fingerprint());
                return;
            }
        }
        panic!("no answer to a check");
    }

    /// Checks, shakes hands, and listens from then on.
    pub async fn connect(&mut self) {
        if self.way.ice {
            self.check().await;
        }
        self.shake().await;
        self.listen();
    }

    async fn shake(&mut self) {
        let config = Config::builder().flight_start_rto(Duration::from_millis(100)).build().unwrap();
        let mut dtls = Dtls::new_auto(Arc::new(config), self.certificate.clone(), Instant::now());
        dtls.set_active(self.is_client);
        let deadline = Instant::now() + PATIENCE;
        let (mut out, mut buffer) = ([0; 2048], [0; 2048]);
        while self.sender.is_none() {
            assert!(Instant::now() < deadline, "no handshake");
            dtls.handle_timeout(Instant::now()).unwrap();
            loop {
                match dtls.poll_output(&mut out) {
                    Output::Packet(packet) => {
                        self.socket.send_to(packet, self.node).await.unwrap();
                    }
                    Output::PeerCert(shown) => {
                        let told = &self.local.dtls.as_ref().unwrap().fingerprints;
                        assert_eq!(told, &[fingerprint(shown)], "another certificate than described");
                    }
                    Output::KeyingMaterial(material, profile) => self.take_keys(&material, profile),
                    Output::Timeout(_) => break,
                    _ => {}
                }
            }
            let wait = tokio::time::timeout(Duration::from_millis(50), self.socket.recv_from(&mut buffer));
            if let Ok(Ok((length, _))) = wait.await
                && is_dtls(buffer[0])
            {
                // What is repeated after a stall may come too late to be of use; without the rest there is no handshake.
                if let Err(error) = dtls.handle_packet(&buffer[..length]) {
                    eprintln!("a packet of the handshake: {error:?}");
                }
            }
        }
        // The last flight has been sent, and is repeated until the node speaks.
        let (socket, node) = (Arc::clone(&self.socket), self.node);
        let end = Instant::now() + Duration::from_secs(3);
        tokio::spawn(async move {
            while Instant::now() < end && dtls.handle_timeout(Instant::now()).is_ok() {
                while let Output::Packet(packet) = dtls.poll_output(&mut out) {
                    let _ = socket.send_to(packet, node).await;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }

    fn take_keys(&mut self, material: &[u8], profile: SrtpProfile) {
        let suite = match profile {
            SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm128HmacSha1_80,
            SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
            _ => Suite::AeadAes256Gcm,
        };
        let (key, salt) = (suite.key_len(), suite.salt_len());
        let of = |n: usize| {
            let salts = &material[2 * key..];
            master(suite, &[&material[n * key..(n + 1) * key], &salts[n * salt..(n + 1) * salt]].concat())
        };
        let (mine, theirs) = if self.is_client { (0, 1) } else { (1, 0) };
        self.sender = Some(Sender::new(&of(mine)).unwrap());
        self.receiver = Some(Receiver::new(&of(theirs)).unwrap());
    }

    fn listen(&mut self) {
        let (socket, heard) = (Arc::clone(&self.socket), Arc::clone(&self.heard));
        let mut receiver = self.receiver.take().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 2000];
            while let Ok((length, _)) = socket.recv_from(&mut buffer).await {
                let packet = &mut buffer[..length];
                if is_stun(packet[0]) || is_dtls(packet[0]) || is_rtcp(packet) {
                    continue;
                }
                let length = receiver.open_rtp(packet).expect("what the node sends is authentic");
                let mut sound = vec![0; length - 12];
                g711::decode(Law::Mu, &buffer[12..length], &mut sound);
                heard.lock().unwrap().extend(sound);
            }
        });
    }

    /// The next packet of its voice.
    pub fn next_packet(&mut self) -> Vec<u8> {
        let (mut sound, mut coded) = ([0; 160], [0; 160]);
        self.tone.fill(&mut sound);
        g711::encode(Law::Mu, &sound, &mut coded);
        self.sequence += 1;
        sealed(self.sender.as_mut().unwrap(), self.sequence, SSRC, &coded)
    }

    /// Speaks in real time until a condition holds; the last packet as it went over the wire.
    pub async fn speak_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        let mut timer = tokio::time::interval(Duration::from_millis(20));
        loop {
            timer.tick().await;
            let packet = self.next_packet();
            self.socket.send_to(&packet, self.node).await.unwrap();
            if condition(self) {
                return packet;
            }
            assert!(Instant::now() < deadline, "waited in vain: {what}");
        }
    }

    /// Whether the last half second that it heard has a tone.
    pub fn hears(&self, hz: f32) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.len() > 8000 && has_tone(&heard[heard.len() - 4000..], hz)
    }
}

//! RFC 3263 against answers of the domain name system as they come over the wire, from a server of these tests.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::UdpSocket;

use super::*;

/// A name as it goes over the wire (RFC 1035, section 3.1).
fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn text(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn srv(priority: u16, port: u16, host: &str) -> (u16, Vec<u8>) {
    (SRV, [numbers(&[priority, 1, port]), wire(host)].concat())
}

/// RFC 3403, section 4.1.
fn naptr(order: u16, flags: &str, service: &str, regexp: &str, replacement: &str) -> (u16, Vec<u8>) {
    let data = [numbers(&[order, 1]), text(flags), text(service), text(regexp), wire(replacement)];
    (NAPTR, data.concat())
}

fn zone() -> Vec<(&'static str, (u16, Vec<u8>))> {
    let enum_rule = naptr(5, "u", "E2U+sip", "!^.*$!sip:info@elsewhere.test!", "");
    vec![
        ("carrier.test", naptr(20, "s", "SIP+D2U", "", "_sip._udp.carrier.test")),
        ("carrier.test", enum_rule),
        ("carrier.test", naptr(10, "S", "sips+d2t", "", "_sips._tcp.carrier.test")),
        ("_sips._tcp.carrier.test", srv(1, 5061, "a.carrier.test")),
        ("_sip._udp.carrier.test", srv(2, 5080, "a.carrier.test")),
        ("_sip._udp.carrier.test", srv(1, 5070, "b.carrier.test")),
        ("a.carrier.test", (A, Ipv4Addr::new(192, 0, 2, 1).octets().to_vec())),
        ("b.carrier.test", (AAAA, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).octets().to_vec())),
        ("_sip._udp.closed.test", srv(0, 0, ".")),
        ("closed.test", (A, Ipv4Addr::new(192, 0, 2, 9).octets().to_vec())),
    ]
}

/// What is answered to a query: what the zone has of the type that is asked for.
fn answer(query: &[u8]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let question = &query[12..end];
    let (name, kind) = question.split_at(question.len() - 4);
    let kind = u16::from_be_bytes([kind[0], kind[1]]);
    let found: Vec<Vec<u8>> = zone()
        .into_iter()
        .filter(|(of, (is, _))| wire(of) == name.to_ascii_lowercase() && *is == kind)
        .map(|(_, (_, data))| data)
        .collect();
    // An answer, recursion available; one question.
    let mut reply = [&query[..2], &numbers(&[0x8180, 1, found.len() as u16, 0, 0]), question].concat();
    for data in found {
        reply.extend(numbers(&[0xc00c, kind, 1, 0, 60, data.len() as u16]));
        reply.extend(data);
    }
    reply
}

/// Names that are looked up at a server of ours; and how often it was asked.
async fn names(fixed: &[String]) -> (Names, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            count.fetch_add(1, Ordering::Relaxed);
            socket.send_to(&answer(&buffer[..length]), from).await.unwrap();
        }
    });
    let mut connection = ConnectionConfig::udp();
    connection.port = address.port();
    let server = NameServerConfig::new(address.ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let dns = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap();
    let fixed = fixed.iter().filter_map(|line| Fixed::parse(line)).collect();
    (Names { fixed, dns: Some(dns) }, asked)
}

async fn of(names: &Names, uri: &str) -> Vec<String> {
    let uri = SipUri::parse(uri).unwrap();
    let targets = names.targets(&uri, &mut |_| 0).await;
    targets.iter().map(|t| format!("{} {}", t.transport.token(), t.address)).collect()
}

#[tokio::test]
async fn answers_of_the_domain_name_system_lead_where_the_rfc_says() {
    let (names, _) = names(&[]).await;
    let cases: [(&str, &[&str]); 6] = [
        // By NAPTR in its order, whose other rules are for others; by SRV in its order; A and AAAA.
        ("sip:carrier.test", &["TLS 192.0.2.1:5061", "UDP [2001:db8::2]:5070", "UDP 192.0.2.1:5080"]),
        ("sip:carrier.test;transport=udp", &["UDP [2001:db8::2]:5070", "UDP 192.0.2.1:5080"]),
        ("sips:carrier.test", &["TLS 192.0.2.1:5061"]),
        // Neither NAPTR nor SRV.
        ("sip:a.carrier.test", &["UDP 192.0.2.1:5060"]),
        ("sip:nobody.test", &[]),
        // An address, and records that say that no SIP is spoken there (RFC 2782, a target of ".").
        ("sip:closed.test", &[]),
    ];
    for (uri, expected) in cases {
        assert_eq!(of(&names, uri).await, expected, "{uri}");
    }
}

#[tokio::test]
async fn what_the_configuration_names_is_asked_nobody() {
    let (names, asked) = names(&["a.carrier.test A 198.51.100.7".to_owned()]).await;
    assert_eq!(of(&names, "sip:a.carrier.test:5090").await, ["UDP 198.51.100.7:5090"]);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const NAPTR: u16 = 35;

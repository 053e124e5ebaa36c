//! From a SIP URI to addresses (RFC 3263, section 4): NAPTR, SRV with its weights (RFC 2782), A and AAAA.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};
use sidetone_model::party::Transport;
use sidetone_sip_core::uri::SipUri;

/// Where a request may be sent, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
}

/// One service that a host offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    pub(crate) host: String,
}

/// One way into a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) order: u16,
    pub(crate) preference: u16,
    pub(crate) service: String,
    pub(crate) replacement: String,
}

/// What names lead to. Names from the configuration come before those of the domain name system.
pub(crate) struct Names {
    fixed: Vec<Fixed>,
    dns: Option<TokioResolver>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fixed {
    name: String,
    record: Record,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Record {
    Address(IpAddr),
    Service(Service),
    Way(Way),
}

impl Names {
    /// `records` are lines as of a zone: `name A 192.0.2.1`, `name AAAA 2001:db8::1`, `name SRV priority weight port host`
    /// and `name NAPTR order preference service replacement`.
    pub(crate) fn new(records: &[String]) -> Self {
        let fixed = records.iter().filter_map(|line| Fixed::parse(line)).collect();
        let dns = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        Self { fixed, dns: dns.ok() }
    }

    /// Whether a line of the configuration is a record.
    pub(crate) fn is_record(line: &str) -> bool {
        Fixed::parse(line).is_some()
    }

    /// The targets of a URI. `random` decides between services of one priority.
    pub(crate) async fn targets(&self, uri: &SipUri, random: &mut impl FnMut(u32) -> u32) -> Vec<Target> {
        let asked = transport_of(uri);
        let transport = asked.unwrap_or(Transport::Udp);
        if let Some(ip) = uri.host_addr() {
            let address = SocketAddr::new(ip, uri.port().unwrap_or(transport.default_port()));
            return vec![Target { transport, address }];
        }
        let host = uri.host();
        if let Some(port) = uri.port() {
            return self.at(&host, transport, port).await;
        }
        let mut services = match asked {
            Some(transport) => vec![(transport, service_name(transport, &host))],
            None => self.ways(&host).await,
        };
        if services.is_empty() {
            let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
            services = all.map(|transport| (transport, service_name(transport, &host))).to_vec();
        }
        let (mut targets, mut offered) = (Vec::new(), false);
        for (transport, name) in services {
            for service in in_order(self.services(&name).await, random) {
                offered = true;
                // RFC 2782: the target "." says that there is no such service.
                if service.host.is_empty() {
                    continue;
                }
                targets.extend(self.at(&service.host, transport, service.port).await);
                if targets.len() >= TARGETS_MAX {
                    return targets;
                }
            }
        }
        // Section 4.2: only where there are no SRV records.
        if !offered {
            targets = self.at(&host, transport, transport.default_port()).await;
        }
        targets
    }

    async fn at(&self, host: &str, transport: Transport, port: u16) -> Vec<Target> {
        let addresses = self.addresses(host).await;
        let target = |ip| Target { transport, address: SocketAddr::new(ip, port) };
        addresses.into_iter().take(TARGETS_MAX).map(target).collect()
    }

    /// Section 4.1: what the domain would like best, of what we can do.
    async fn ways(&self, domain: &str) -> Vec<(Transport, String)> {
        let mut ways = self.naptr(domain).await;
        ways.sort_by_key(|way| (way.order, way.preference));
        let known = |way: Way| {
            let transport = match way.service.to_ascii_uppercase().as_str() {
                "SIP+D2U" => Transport::Udp,
                "SIP+D2T" => Transport::Tcp,
                "SIPS+D2T" => Transport::Tls,
                _ => return None,
            };
            Some((transport, way.replacement))
        };
        ways.into_iter().filter_map(known).collect()
    }

    fn fixed(&self, name: &str) -> Option<impl Iterator<Item = Record> + '_> {
        let name = plain(name);
        let known = self.fixed.iter().any(|fixed| fixed.name == name);
        known.then(|| self.fixed.iter().filter(move |f| f.name == name).map(|f| f.record.clone()))
    }

    async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        if let Some(fixed) = self.fixed(host) {
            return fixed.filter_map(|r| if let Record::Address(ip) = r { Some(ip) } else { None }).collect();
        }
        let Some(dns) = &self.dns else { return Vec::new() };
        dns.lookup_ip(host).await.map(|found| found.iter().collect()).unwrap_or_default()
    }

    async fn services(&self, name: &str) -> Vec<Service> {
        if let Some(fixed) = self.fixed(name) {
            return fixed.filter_map(|r| if let Record::Service(s) = r { Some(s) } else { None }).collect();
        }
        let service = |data: &RData| match data {
            RData::SRV(srv) => Some(Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                host: plain(&srv.target.to_string()),
            }),
            _ => None,
        };
        self.look_up(name, RecordType::SRV, service).await
    }

    async fn naptr(&self, name: &str) -> Vec<Way> {
        if let Some(fixed) = self.fixed(name) {
            return fixed.filter_map(|r| if let Record::Way(w) = r { Some(w) } else { None }).collect();
        }
        let way = |data: &RData| match data {
            RData::NAPTR(naptr) if naptr.flags.eq_ignore_ascii_case(b"s") => Some(Way {
                order: naptr.order,
                preference: naptr.preference,
                service: String::from_utf8_lossy(&naptr.services).into_owned(),
                replacement: plain(&naptr.replacement.to_string()),
            }),
            _ => None,
        };
        self.look_up(name, RecordType::NAPTR, way).await
    }

    async fn look_up<T>(&self, name: &str, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Vec<T> {
        let Some(dns) = &self.dns else { return Vec::new() };
        // A full name: the search list of the system is for people.
        let found = dns.lookup(format!("{}.", plain(name)), kind).await;
        found
            .map(|found| found.answers().iter().filter_map(|record| read(&record.data)).collect())
            .unwrap_or_default()
    }
}

impl Fixed {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let record = match words.get(1..)? {
            ["A" | "AAAA", ip] => Record::Address(ip.parse().ok()?),
            ["SRV", priority, weight, port, host] => Record::Service(Service {
                priority: priority.parse().ok()?,
                weight: weight.parse().ok()?,
                port: port.parse().ok()?,
                host: plain(host),
            }),
            ["NAPTR", order, preference, service, replacement] => Record::Way(Way {
                order: order.parse().ok()?,
                preference: preference.parse().ok()?,
                service: (*service).to_owned(),
                replacement: plain(replacement),
            }),
            _ => return None,
        };
        Some(Self { name: plain(words[0]), record })
    }
}

/// Over what a URI wants to be reached, where it says so.
pub(crate) fn transport_of(uri: &SipUri) -> Option<Transport> {
    match uri.param("transport").map(|transport| transport.to_ascii_lowercase()).as_deref() {
        // Whatever else it says, a sips URI goes nowhere without TLS (RFC 3261, section 26.2.2).
        _ if uri.is_secure() => Some(Transport::Tls),
        Some("tcp") => Some(Transport::Tcp),
        Some("tls") => Some(Transport::Tls),
        Some("udp") => Some(Transport::Udp),
        _ => None,
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn service_name(transport: Transport, host: &str) -> String {
    match transport {
        Transport::Tls => format!("_sips._tcp.{host}"),
        Transport::Tcp => format!("_sip._tcp.{host}"),
        _ => format!("_sip._udp.{host}"),
    }
}

/// RFC 2782: the lowest priority first; among equals one is drawn by weight, then another of the rest.
fn in_order(mut services: Vec<Service>, random: &mut impl FnMut(u32) -> u32) -> Vec<Service> {
    services.sort_by_key(|service| (service.priority, service.weight != 0));
    let mut ordered = Vec::with_capacity(services.len());
    while let Some(first) = services.first() {
        let equal = services.iter().take_while(|service| service.priority == first.priority).count();
        let weights: Vec<u32> = services[..equal].iter().map(|service| u32::from(service.weight)).collect();
        ordered.push(services.remove(draw(&weights, random)));
    }
    ordered
}

/// The place of one of several, each as likely as its weight.
pub(crate) fn draw(weights: &[u32], random: &mut impl FnMut(u32) -> u32) -> usize {
    let sum: u32 = weights.iter().sum();
    let mut at = random(sum + 1);
    for (place, weight) in weights.iter().enumerate() {
        if at <= *weight {
            return place;
        }
        at -= weight;
    }
    0
}

/// Addresses of one carrier that are tried.
const TARGETS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(lines: &[&str]) -> Names {
        let fixed = lines.iter().map(|line| Fixed::parse(line).unwrap()).collect();
        Names { fixed, dns: None }
    }

    async fn of(names: &Names, uri: &str) -> Vec<String> {
        let uri = SipUri::parse(uri).unwrap();
        let targets = names.targets(&uri, &mut |_| 0).await;
        targets.iter().map(|t| format!("{} {}", t.transport.token(), t.address)).collect()
    }

    #[tokio::test]
    async fn the_rules_of_section_4() {
        let zone = names(&[
            "example.com NAPTR 20 1 SIP+D2U _sip._udp.example.com.",
            "example.com NAPTR 10 2 SIP+D2T _sip._tcp.example.com",
            "example.com NAPTR 10 1 SIPS+D2T _sips._tcp.example.com",
            "_sips._tcp.example.com SRV 1 1 5061 a.example.com",
            "_sip._tcp.example.com SRV 2 1 5070 b.example.com",
            "_sip._tcp.example.com SRV 1 1 5060 a.example.com",
            "a.example.com A 192.0.2.1",
            "b.example.com AAAA 2001:db8::2",
            "plain.example.com A 192.0.2.9",
            "_sip._udp.other.example.com SRV 1 1 5080 b.example.com",
        ]);
        let cases: [(&str, &[&str]); 10] = [
            ("sip:192.0.2.7", &["UDP 192.0.2.7:5060"]),
            ("sips:192.0.2.7", &["TLS 192.0.2.7:5061"]),
            ("sips:192.0.2.7;transport=udp", &["TLS 192.0.2.7:5061"]),
            ("sip:[2001:db8::7]:5070;transport=tcp", &["TCP [2001:db8::7]:5070"]),
            ("sip:a.example.com:5090", &["UDP 192.0.2.1:5090"]),
            ("sip:example.com", &["TLS 192.0.2.1:5061", "TCP 192.0.2.1:5060", "TCP [2001:db8::2]:5070"]),
            ("sip:example.com;transport=tcp", &["TCP 192.0.2.1:5060", "TCP [2001:db8::2]:5070"]),
            ("sip:plain.example.com", &["UDP 192.0.2.9:5060"]),
            ("sip:plain.example.com;transport=tls", &["TLS 192.0.2.9:5061"]),
            ("sip:other.example.com", &["UDP [2001:db8::2]:5080"]),
        ];
        for (uri, expected) in cases {
            assert_eq!(of(&zone, uri).await, expected, "{uri}");
        }
    }

    #[test]
    fn weights_are_shares() {
        let mut counts = [0; 3];
        for at in 0..=100 {
            counts[draw(&[60, 30, 10], &mut |_| at)] += 1;
        }
        assert_eq!(counts, [61, 30, 10]);
        assert_eq!(draw(&[0, 0], &mut |_| 0), 0);
    }
}

#[cfg(test)]
#[path = "resolve_dns_tests.rs"]
mod dns_tests;

//! Keeps requests that tenants cause away from our own network.
//!
//! Tenants choose the URLs of webhooks and prompts, so a name is resolved once, here, and the connection is made to
//! exactly the addresses that were checked. A name that leads elsewhere a moment later (DNS rebinding) gains nothing.

mod webhook;

use std::error::Error as StdError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use sidetone_model::cidr::Cidr;

pub use webhook::{client, drain_in_background, retry_after};

/// A target is where targets must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the target's address is not on the public Internet")]
pub struct AddressRefused;

/// Resolves names, and refuses those that lead into networks that are neither public nor allowed.
#[derive(Debug, Clone)]
pub struct Egress {
    allowed: Arc<[Cidr]>,
}

impl Egress {
    /// Lets through every address.
    pub fn everything() -> Self {
        Self::new([Cidr::EVERY_V4, Cidr::EVERY_V6])
    }

    /// Lets through the public Internet and these networks.
    pub fn new(allowed: impl Into<Arc<[Cidr]>>) -> Self {
        Self { allowed: allowed.into() }
    }

    /// Whether an address may be reached.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self, ip: IpAddr) -> Result<(), AddressRefused> {
        if is_public(ip) || self.is_allowed(ip) { Ok(()) } else { Err(AddressRefused) }
    }

    /// Whether an address is in one of the allowed networks.
    pub fn is_allowed(&self, ip: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(ip))
    }
}

impl Resolve for Egress {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &found {
                egress.check(address.ip())?;
            }
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// The address in a URL, when it has one instead of a name. Such a URL is not resolved, and must be checked by itself.
pub fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether a request failed because its target may not be reached.
pub fn is_refused(error: &reqwest::Error) -> bool {
    let mut source: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = source {
        if error.is::<AddressRefused>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Whether an address is globally reachable (the registries of RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let relay = a == 192 && b == 88 && c == 99;
    let benchmark = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || a >= 224
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || shared
        || protocol
        || relay
        || benchmark)
}

/// Only global unicast (2000::/3) without the tunnels and translations that lead back into IPv4.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let s = ip.segments();
    if s[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [a, b, c, d] = [(s[6] >> 8) as u8, s[6] as u8, (s[7] >> 8) as u8, s[7] as u8];
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let global_unicast = s[0] & 0xe000 == 0x2000;
    let protocol_assignments = s[0] == 0x2001 && s[1] < 0x200;
    let documentation = (s[0] == 0x2001 && s[1] == 0xdb8) || (s[0] == 0x3fff && s[1] < 0x1000);
    let six_to_four = s[0] == 0x2002;
    global_unicast && !protocol_assignments && !documentation && !six_to_four
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_let_through() {
        let egress = Egress::new([]);
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "203.0.113.9",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "::127.0.0.1",
        ] {
            assert_eq!(egress.check(inside.parse().unwrap()), Err(AddressRefused), "{inside}");
        }
        for outside in
            ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"]
        {
            assert_eq!(egress.check(outside.parse().unwrap()), Ok(()), "{outside}");
        }
        let all = Egress::everything();
        assert_eq!(all.check(Ipv4Addr::LOCALHOST.into()), Ok(()));
        assert_eq!(all.check(Ipv6Addr::LOCALHOST.into()), Ok(()));
    }

    #[test]
    fn an_allowed_network_is_let_through_and_no_more() {
        let network: Cidr = "10.1.0.0/16".parse().unwrap();
        let egress = Egress::new([network, "fd00::/8".parse().unwrap(), "192.168.1.7/32".parse().unwrap()]);
        for (ip, allowed) in [
            ("10.1.255.255", true),
            ("::ffff:10.1.0.1", true),
            ("10.2.0.0", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
        ] {
            assert_eq!(egress.check(ip.parse().unwrap()).is_ok(), allowed, "{ip}");
        }
    }
}

//! Which port pairs of a realm are free. A freed pair rests, so that a late packet of the old call meets nobody.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sidetone_net::{Datagram, bind_pair, bind_pair_anywhere};

use crate::config::Realm;
use crate::error::MediaError;

/// The ports of one realm.
#[derive(Debug)]
pub(crate) struct Ports {
    realm: Realm,
    rest: Duration,
    /// Longest rested first. Round-robin also spreads ports that something else on the machine holds.
    free: VecDeque<u16>,
    resting: VecDeque<(Instant, u16)>,
}

/// How many pairs are tried when others on the machine hold some of the range.
const ATTEMPTS_MAX: usize = 64;

impl Ports {
    pub(crate) fn new(realm: Realm, rest: Duration) -> Self {
        let free = match realm.port_min {
            0 => VecDeque::new(),
            first => (first..realm.port_max).step_by(2).collect(),
        };
        Self { realm, rest, free, resting: VecDeque::new() }
    }

    pub(crate) fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Binds a free pair.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(Datagram, Datagram), MediaError> {
        if self.realm.port_min == 0 {
            return bind_pair_anywhere(self.realm.bind_ip)
                .map_err(|error| MediaError::Io { what: "binding a port", problem: error.to_string() });
        }
        while self.resting.front().is_some_and(|(until, _)| *until <= now) {
            self.free.extend(self.resting.pop_front().map(|(_, port)| port));
        }
        for _ in 0..ATTEMPTS_MAX {
            let port = self.free.pop_front().ok_or(MediaError::NoPort)?;
            match bind_pair(self.realm.bind_ip, port) {
                Ok(pair) => return Ok(pair),
                // Somebody else has it, perhaps for a moment only: it goes to the end of the line.
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    self.resting.push_back((now + self.rest, port));
                }
                Err(error) => {
                    self.free.push_front(port);
                    return Err(MediaError::Io { what: "binding a port", problem: error.to_string() });
                }
            }
        }
        Err(MediaError::NoPort)
    }

    /// Takes back a pair by its RTP port, after its sockets were closed.
    pub(crate) fn give_back(&mut self, port: u16, now: Instant) {
        if self.realm.port_min != 0 {
            self.resting.push_back((now + self.rest, port));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// None when somebody else on the machine took the port meanwhile.
    fn try_one_pair() -> Option<()> {
        let probe = bind_pair_anywhere("127.0.0.1".parse().unwrap()).unwrap();
        let port = probe.0.local().port();
        drop(probe);
        let realm = Realm { port_min: port, port_max: port + 1, ..Realm::default() };
        let mut ports = Ports::new(realm, Duration::from_secs(10));
        let start = Instant::now();
        let pair = ports.take(start).ok()?;
        assert_eq!(ports.take(start).unwrap_err(), MediaError::NoPort);
        drop(pair);
        ports.give_back(port, start);
        assert_eq!(ports.take(start + Duration::from_secs(9)).unwrap_err(), MediaError::NoPort);
        ports.take(start + Duration::from_secs(10)).ok().map(drop)
    }

    #[test]
    fn a_freed_pair_rests_and_an_empty_range_is_told() {
        assert!((0..50).any(|_| try_one_pair().is_some()));
    }
}

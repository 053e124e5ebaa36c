//! Certificates from where PASSporTs say they are: fetched once for all calls that wait for them, and kept.
//!
//! Carriers choose the URLs, so nothing of our own network is reached ([`sidetone_runtime::egress`]), answers are bounded in
//! size and time, and so are fetches at a time and certificates kept. What could not be had is not asked for again for a
//! while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::{CACHE_CONTROL, HeaderMap};
use sidetone_runtime::egress;
use sidetone_stir_core::{Chain, Fault};
use sidetone_telemetry::Telemetry;
use tokio::sync::Semaphore;

use super::StirConfig;
use crate::replica::wall_clock;

/// All certificates.
pub(super) struct Certificates {
    config: StirConfig,
    http: OnceLock<Option<reqwest::Client>>,
    places: Mutex<HashMap<Box<str>, Arc<Place>>>,
    fetches: Arc<Semaphore>,
    telemetry: Arc<Telemetry>,
}

/// What is known of one URL. Whoever fetches holds the lock meanwhile.
#[derive(Default)]
struct Place {
    known: tokio::sync::Mutex<Option<Known>>,
    /// Until when what is known is good; for whoever makes room.
    until: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Known {
    result: Result<Arc<Chain>, Fault>,
    until: Instant,
}

impl Certificates {
    pub(super) fn new(config: StirConfig, telemetry: Arc<Telemetry>) -> Arc<Self> {
        let fetches = Arc::new(Semaphore::new(FETCHES_MAX));
        Arc::new(Self { config, http: OnceLock::new(), places: Mutex::default(), fetches, telemetry })
    }

    /// The certificate at a URL. A fetch goes on when nobody waits for it any more: the next call finds its result.
    pub(super) async fn get(self: &Arc<Self>, url: &str) -> Result<Arc<Chain>, Fault> {
        let url = Url::parse(url).ok().filter(|url| self.config.may_be(url));
        let Some(url) = url else {
            self.count("refused");
            return Err(Fault::Info);
        };
        let place = self.place(url.as_str());
        if let Ok(known) = place.known.try_lock()
            && let Some(result) = fresh(known.as_ref())
        {
            self.count("kept");
            return result;
        }
        let this = Arc::clone(self);
        let fetch = tokio::spawn(async move {
            let mut known = place.known.lock().await;
            // Somebody else has fetched it while we waited.
            if let Some(result) = fresh(known.as_ref()) {
                this.count("kept");
                return result;
            }
            let fetched = this.fetch(url).await;
            *place.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetched.until);
            let result = fetched.result.clone();
            *known = Some(fetched);
            result
        });
        fetch.await.unwrap_or(Err(Fault::Info))
    }

    /// The place of a URL; makes room when there are too many, of what is good for the shortest time.
    fn place(&self, url: &str) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(url) {
            return Arc::clone(place);
        }
        let now = Instant::now();
        let until = |place: &Place| *place.until.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= self.config.certificates_max {
            places.retain(|_, place| until(place).is_none_or(|until| until > now));
        }
        if places.len() >= self.config.certificates_max {
            let first = places.iter().min_by_key(|(_, place)| until(place)).map(|(url, _)| url.clone());
            first.map(|url| places.remove(&url));
        }
        let place = Arc::new(Place::default());
        places.insert(url.into(), Arc::clone(&place));
        self.telemetry.stir.kept.set(places.len() as i64);
        place
    }

    async fn fetch(&self, url: Url) -> Known {
        let failed = |reason: &str, fault: Fault| {
            self.count(reason);
            Known { result: Err(fault), until: Instant::now() + FAILED_LASTS }
        };
        let Ok(_slot) = self.fetches.try_acquire() else { return failed("busy", Fault::Info) };
        let Some(http) = self.http.get_or_init(|| client(&self.config)) else {
            return failed("no_client", Fault::Info);
        };
        let (bytes, lasts) = match tokio::time::timeout(FETCH_MAX, download(http, url)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => return failed(reason, Fault::Info),
            Err(_) => return failed("timeout", Fault::Info),
        };
        match Chain::parse(&bytes) {
            Ok(chain) => {
                self.count("fetched");
                let left = chain.not_after().since(wall_clock());
                let longest = Duration::from_secs(self.config.certificate_s);
                // One that runs out is fetched again in time to find its successor.
                let lasts = lasts.unwrap_or(longest).min(longest).min(left).max(SHORTEST);
                Known { result: Ok(Arc::new(chain)), until: Instant::now() + lasts }
            }
            Err(error) => {
                tracing::debug!(%error, "what stands at a PASSporT's URL is no certificate for telephone numbers");
                failed("unusable", Fault::Certificate)
            }
        }
    }

    fn count(&self, result: &str) {
        self.telemetry.stir.certificates.with_label_values(&[result]).inc();
    }
}

fn fresh(known: Option<&Known>) -> Option<Result<Arc<Chain>, Fault>> {
    known.filter(|known| known.until > Instant::now()).map(|known| known.result.clone())
}

fn client(config: &StirConfig) -> Option<reqwest::Client> {
    egress::client(&config.egress(), FETCH_MAX / 2, 1)
        .inspect_err(|error| tracing::error!(%error, "certificates cannot be fetched"))
        .ok()
}

/// What stands there, and for how long it may be kept.
async fn download(http: &reqwest::Client, url: Url) -> Result<(Vec<u8>, Option<Duration>), &'static str> {
    let mut answer = http.get(url).send().await.map_err(|error| match () {
        () if egress::is_refused(&error) => "refused",
        () => "unreachable",
    })?;
    if !answer.status().is_success() {
        return Err("status");
    }
    let lasts = max_age(answer.headers());
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|_| "unreachable")? {
        if bytes.len() + piece.len() > BYTES_MAX {
            return Err("too_large");
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, lasts))
}

/// RFC 9111, section 5.2.2; what must not be stored is stored for the shortest time all the same, or every call would fetch.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(CACHE_CONTROL)?.to_str().ok()?.to_ascii_lowercase();
    let mut directives = text.split(',').map(str::trim);
    if directives.clone().any(|directive| matches!(directive, "no-store" | "no-cache")) {
        return Some(Duration::ZERO);
    }
    let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

const FETCHES_MAX: usize = 64;
const FETCH_MAX: Duration = Duration::from_secs(10);
const BYTES_MAX: usize = 64 * 1024;
const SHORTEST: Duration = Duration::from_secs(60);
const FAILED_LASTS: Duration = Duration::from_secs(20);

//! An object storage of a test's own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use sidetone_media::Config;

/// As much of S3 as is used, in memory; it refuses the first so many objects.
#[derive(Clone, Default)]
pub struct S3 {
    pub objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    /// All that was ever put.
    pub seen: Arc<Mutex<Vec<String>>>,
    pub failures: Arc<AtomicU32>,
    /// Objects with this in their names are refused.
    pub refused: Arc<Mutex<Option<String>>>,
    /// So many come at once, or none gets through.
    pub together: Arc<Mutex<Option<Arc<tokio::sync::Barrier>>>>,
    /// Doors to it, and how many of them are shut.
    doors: Arc<AtomicU32>,
    shut: Arc<AtomicU32>,
}

impl S3 {
    /// One more door, on a port of its own.
    pub fn endpoint(&self) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (server, door) = (self.clone(), self.doors.fetch_add(1, Ordering::SeqCst));
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let together = server.together.lock().unwrap().clone().filter(|_| method == Method::PUT);
            let open = door >= server.shut.load(Ordering::SeqCst);
            let answer = if open {
                server.answer(&method, &uri, &headers, body)
            } else {
                StatusCode::FORBIDDEN.into_response()
            };
            async move {
                if let Some(together) = together {
                    together.wait().await;
                }
                answer
            }
        };
        let app = Router::new().fallback(answer).layer(axum::extract::DefaultBodyLimit::disable());
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        format!("http://{address}")
    }

    /// Whoever came by the first door changes nothing any more.
    pub fn cut_off_the_first(&self) {
        let _objects = self.objects.lock().unwrap();
        self.shut.store(1, Ordering::SeqCst);
    }

    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Response {
        let name = uri.path().trim_start_matches("/calls/").to_owned();
        let mut objects = self.objects.lock().unwrap();
        match method.as_str() {
            "PUT" => {
                let failing =
                    self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                let refused = self.refused.lock().unwrap();
                if failing.is_ok() || refused.as_ref().is_some_and(|part| name.contains(part)) {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                assert!(headers.contains_key("x-amz-checksum-sha256"), "without a checksum");
                assert!(headers.contains_key("authorization"), "unsigned");
                self.seen.lock().unwrap().push(name.clone());
                objects.insert(name, body);
                ([("etag", "\"1\"")], "").into_response()
            }
            "DELETE" => {
                objects.remove(&name);
                StatusCode::NO_CONTENT.into_response()
            }
            _ if uri.query().is_some_and(|query| query.contains("list-type=2")) => list(&objects, uri),
            _ => {
                let Some(object) = objects.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
                let described = [("etag", "\"1\""), ("last-modified", "Sat, 21 Nov 2026 09:00:00 GMT")];
                (described, object.clone()).into_response()
            }
        }
    }

    /// What there is.
    pub fn names(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }
}

/// A node with this bucket.
pub fn storage(config: &mut Config, endpoint: &str) {
    config.storage.bucket = "calls".into();
    config.storage.endpoint = endpoint.into();
    config.storage.access_key = "key".into();
    config.storage.secret_key = "secret".into();
    config.storage.prefix = "rec".into();
}

/// ListObjectsV2, all at once.
fn list(objects: &BTreeMap<String, Bytes>, uri: &Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
    let prefix = prefix.replace("%2F", "/");
    let one = |(name, object): (&String, &Bytes)| {
        format!(
            "<Contents><Key>{name}</Key><LastModified>2026-11-21T09:00:00.000Z</LastModified><ETag>\"1\"</ETag>\
             <Size>{}</Size></Contents>",
            object.len()
        )
    };
    let found: String = objects.iter().filter(|(name, _)| name.starts_with(&prefix)).map(one).collect();
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>calls</Name><Prefix>{prefix}</Prefix>\
         <MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    );
    ([("content-type", "application/xml")], xml).into_response()
}

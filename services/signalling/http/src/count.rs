//! Requests, counted by dialect.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use sidetone_telemetry::Telemetry;

/// The same routes; each request to them is counted.
pub(crate) fn counted(routes: Router, dialect: &'static str, telemetry: Arc<Telemetry>) -> Router {
    routes.layer(from_fn_with_state((dialect, telemetry), count))
}

async fn count(
    State((dialect, telemetry)): State<(&'static str, Arc<Telemetry>)>,
    request: Request,
    next: Next,
) -> Response {
    let (method, begun) = (method_of(&request), Instant::now());
    let response = next.run(request).await;
    telemetry.http.answer.observe(begun.elapsed().as_secs_f64());
    let class = match response.status().as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    telemetry.http.requests.with_label_values(&[dialect, method, class]).inc();
    response
}

/// A closed set: clients may make methods up.
fn method_of(request: &Request) -> &'static str {
    match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

//! The OpenAPI document of dialect 000 against its routes: what it names is served, and nothing else at those paths.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod kit;

use axum::body::Body;
use http::{Request, StatusCode};
use kit::{Crowd, Door, ask};
use sidetone_dialects::Dialect as _;
use sidetone_dialects::conversation::{Conversation, openapi};

#[tokio::test]
async fn every_route_is_in_the_document_and_that_has_no_other() {
    let door = Door::new(&[], Crowd::default()).await;
    let routes = Conversation.routes(door);
    let document = serde_json::to_value(openapi()).unwrap();
    let (mut operations, paths) = (0, document["paths"].as_object().unwrap());
    for (path, item) in paths {
        // The same routes are served under both.
        for path in [path.clone(), path.replacen("/beta", "/v1", 1)] {
            for method in item.as_object().unwrap().keys() {
                let uri: Vec<&str> =
                    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
                let request =
                    Request::builder().method(method.to_ascii_uppercase().as_str()).uri(uri.join("/"));
                let (status, _) = ask(&routes, request.body(Body::empty()).unwrap()).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} asks who it is");
                operations += 1;
            }
            kit::serves_no_other_methods(&routes, &path, item).await;
        }
    }
    assert_eq!((paths.len(), operations), (12, 2 * 23));
}

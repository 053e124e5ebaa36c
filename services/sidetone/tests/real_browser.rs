//! A real browser, Debian's Chromium, calls and is called: SIP over a WebSocket, ICE, DTLS-SRTP and Opus as its users have them.
//! Skipped, with the reason printed, where it is not installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use std::net::SocketAddr;

use support::browser::{self, Browser, Page};
use support::operations::{does, ended_by_far_end, leg, legs, taken};
use support::phones::{call, eventually, hears, registered};
use support::process::{Installation, More, free_port};

fn skipped() -> bool {
    let missing = !browser::is_installed();
    if missing {
        eprintln!("SKIPPED: chromium is not installed (apt install chromium)");
    }
    missing
}

/// A door for browsers, and how it is set up.
fn door() -> (SocketAddr, String) {
    let door = SocketAddr::from(([127, 0, 0, 1], free_port()));
    (door, format!("[[signalling.listeners]]\ntransport = \"ws\"\nbind = \"{door}\"\n"))
}

/// An installation with a door for browsers.
fn installation() -> (Installation, SocketAddr) {
    let (door, listener) = door();
    (Installation::one_process_with("", "", &listener), door)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_calls_a_desk_phone_and_both_hear_each_other() {
    if skipped() {
        return;
    }
    let (installation, door) = installation();
    let desk = registered(&installation, "1002", 700.0).await;
    let page = Page { door, number: "1001", tone_hz: 440, calls: Some("1002"), enough: Some(40) };
    let browser = Browser::open(&page);
    browser.wait_for("CONNECTED");
    let at_desk = taken(&installation, &desk).await;
    hears(&installation, &at_desk, 440.0).await;
    browser.wait_until_it_hears_but(700, 440);
    let serve = installation.serve.as_ref().unwrap();
    assert_eq!(serve.metric("sidetone_media_dtls_handshakes_total"), 1.0);
    assert!(serve.metric("sidetone_media_ice_messages_total") >= 1.0);
    // It has heard enough, and hangs up by itself.
    browser.wait_for("HUNGUP");
    eventually(&installation, "the desk phone is told", || at_desk.ended().is_some()).await;
    installation.wait_until("the call is over", || installation.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_phone_calls_a_browser_and_hangs_up() {
    if skipped() {
        return;
    }
    let (installation, door) = installation();
    let page = Page { door, number: "1001", tone_hz: 440, calls: None, enough: None };
    let browser = Browser::open(&page);
    browser.wait_for("REGISTERED");
    let desk = registered(&installation, "1002", 700.0).await;
    let at_desk = call(&installation, &desk, "1001").await;
    browser.wait_until_it_hears_but(700, 440);
    hears(&installation, &at_desk, 440.0).await;
    at_desk.hang_up().await.unwrap();
    browser.wait_for("HUNGUP");
    installation.wait_until("the call is over", || installation.calls().is_empty());
}

#[test]
fn two_browsers_talk_in_a_room() {
    if skipped() {
        return;
    }
    let (installation, door) = installation();
    let tones = [440, 700];
    let browsers: Vec<Browser> = ["1001", "1002"]
        .into_iter()
        .zip(tones)
        .map(|(number, tone_hz)| {
            Browser::open(&Page { door, number, tone_hz, calls: Some("3000"), enough: None })
        })
        .collect();
    browsers[0].wait_until_it_hears_but(700, 440);
    browsers[1].wait_until_it_hears_but(440, 700);
    assert_eq!(installation.serve.as_ref().unwrap().metric("sidetone_media_dtls_handshakes_total"), 2.0);
}

/// ada's call with the browser is on the first media node and her call with cid on the second. They become one: the browser is offered
/// another address, other checks and another certificate in the same dialog (RFC 8445, section 9; RFC 8842, section 5.5).
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_goes_on_at_another_media_node() {
    if skipped() {
        return;
    }
    let (door, listener) = door();
    let mut installation = Installation::four_processes_of(&More {
        media: "legs_max = 2\n",
        signalling: &listener,
        ..More::default()
    });
    let browser = Browser::open(&Page { door, number: "1002", tone_hz: 700, calls: None, enough: None });
    browser.wait_for("REGISTERED");
    let ada = registered(&installation, "1001", 440.0).await;
    let cid = registered(&installation, "1003", 1150.0).await;
    let at_ada = call(&installation, &ada, "1002").await;
    hears(&installation, &at_ada, 700.0).await;
    browser.wait_until_it_hears_but(440, 1150);
    let held = leg(&installation, "1001");
    does(&installation, &["hold", &held]);
    installation.add_media_node();
    let second_at_ada = call(&installation, &ada, "1003").await;
    let at_cid = taken(&installation, &cid).await;
    hears(&installation, &at_cid, 440.0).await;
    let own = legs(&installation, |leg| leg["party"]["number"] == "1001");
    let active = own.into_iter().find(|leg| *leg != held).unwrap();
    browser.forget();
    does(&installation, &["merge", &active, &held]);
    ended_by_far_end(&at_ada).await;
    for at in [&second_at_ada, &at_cid] {
        hears(&installation, at, 700.0).await;
    }
    browser.wait_until_it_hears_but(1150, 700);
    browser.wait_until_it_hears_but(440, 700);
    for node in [&installation.media, &installation.media_2] {
        assert_eq!(node.as_ref().unwrap().metric("sidetone_media_dtls_handshakes_total"), 1.0);
    }
}
